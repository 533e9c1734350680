//! The columns of rows as a Parquet file, for those who load them into a database or a data frame.
//!
//! Rows are written a group at a time: memory does not grow with the archive. The columns are those of the table in
//! [`super::rows`].

use std::io::Write;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType};
use parquet::errors::Result;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::rows::Columns;
use crate::scan::Labelled;

/// How many rows make a group.
const GROUP: usize = 8192;
/// How many bytes of text make one, should rows be long.
const GROUP_BYTES: usize = 16 << 20;

/// A column of text: its name, and its value in a row.
type Text = (&'static str, for<'a> fn(&Columns<'a>) -> Option<&'a str>);

/// The columns of text, in order.
const TEXTS: [Text; 17] = [
    ("input", |row| Some(row.input)),
    ("status", |row| Some(row.status.word())),
    ("rule", |row| row.rule),
    ("tier", |row| row.tier),
    ("rule_title", |row| row.rule_title),
    ("general", |row| row.general),
    ("kind", |row| row.kind),
    ("title", |row| row.title),
    ("signature", |row| row.signature),
    ("function", |row| row.function),
    ("release", |row| row.release),
    ("stream", |row| row.stream),
    ("machine", |row| row.machine),
    ("host", |row| row.host),
    ("hardware", |row| row.hardware),
    ("crashed_at", |row| row.crashed_at),
    ("error", |row| row.error),
];
/// The column of numbers.
const UPTIME: &str = "uptime_seconds";

/// A table under construction.
pub struct Table<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    texts: [Column<ByteArray>; TEXTS.len()],
    uptimes: Column<f64>,
    bytes: usize,
}

/// The values of a group that are there, and for each row whether it has one.
struct Column<T> {
    values: Vec<T>,
    there: Vec<i16>,
}

impl<T> Default for Column<T> {
    fn default() -> Self {
        Column {
            values: Vec::new(),
            there: Vec::new(),
        }
    }
}

impl<T> Column<T> {
    fn push(&mut self, value: Option<T>) {
        self.there.push(i16::from(value.is_some()));
        self.values.extend(value);
    }
}

impl<W: Write + Send> Table<W> {
    /// A table without rows.
    pub fn new(out: W) -> Result<Self> {
        let texts = TEXTS
            .iter()
            .map(|(name, _)| format!("OPTIONAL BYTE_ARRAY {name} (UTF8);"));
        let columns: String = texts.chain([format!("OPTIONAL DOUBLE {UPTIME};")]).collect();
        let schema = Arc::new(parse_message_type(&format!("message row {{ {columns} }}"))?);
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY);
        Ok(Table {
            writer: SerializedFileWriter::new(out, schema, Arc::new(properties.build()))?,
            texts: Default::default(),
            uptimes: Column::default(),
            bytes: 0,
        })
    }

    /// Adds a row.
    pub fn row(&mut self, labelled: &Labelled) -> Result<()> {
        let row = Columns::of(labelled);
        for (column, (_, value)) in self.texts.iter_mut().zip(&TEXTS) {
            let value = value(&row);
            self.bytes += value.map_or(0, str::len);
            column.push(value.map(ByteArray::from));
        }
        self.uptimes.push(row.uptime_seconds);
        match self.uptimes.there.len() >= GROUP || self.bytes >= GROUP_BYTES {
            true => self.group(),
            false => Ok(()),
        }
    }

    /// Writes the rows that wait.
    fn group(&mut self) -> Result<()> {
        let mut group = self.writer.next_row_group()?;
        for column in &mut self.texts {
            let Column { values, there } = std::mem::take(column);
            if let Some(mut writer) = group.next_column()? {
                writer
                    .typed::<ByteArrayType>()
                    .write_batch(&values, Some(&there), None)?;
                writer.close()?;
            }
        }
        let Column { values, there } = std::mem::take(&mut self.uptimes);
        if let Some(mut writer) = group.next_column()? {
            writer.typed::<DoubleType>().write_batch(&values, Some(&there), None)?;
            writer.close()?;
        }
        group.close()?;
        self.bytes = 0;
        Ok(())
    }

    /// Ends the table.
    pub fn finish(mut self) -> Result<W> {
        if !self.uptimes.there.is_empty() {
            self.group()?;
        }
        self.writer.into_inner()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use parquet::file::reader::{FileReader, SerializedFileReader};

    use super::*;
    use crate::output::rows;

    #[test]
    fn rows_come_back_with_the_columns_of_the_table() {
        let mut table = Table::new(Vec::new()).unwrap();
        let mut row = Labelled::failed("a", "why", false);
        let mut csv = String::new();
        for number in 0..GROUP + 2 {
            row.row.input = number.to_string();
            row.facts.uptime = (number % 2 == 1).then_some(1.5);
            row.facts.host = (number % 3 == 0).then(|| "höst".to_owned());
            table.row(&row).unwrap();
            csv += &rows::csv(&row, number == 0);
        }
        let file = tempfile::tempfile().unwrap();
        (&file).write_all(&table.finish().unwrap()).unwrap();
        let reader = SerializedFileReader::new(file).unwrap();
        assert_eq!(reader.num_row_groups(), 2);
        let mut csv = csv::Reader::from_reader(csv.as_bytes());
        let names: Vec<String> = csv.headers().unwrap().iter().map(str::to_owned).collect();
        let mut count = 0;
        for (row, expected) in reader.get_row_iter(None).unwrap().zip(csv.records()) {
            let (row, expected) = (row.unwrap(), expected.unwrap());
            let found: BTreeSet<&str> = row.get_column_iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(found, names.iter().map(String::as_str).collect());
            for (name, value) in row.get_column_iter() {
                let at = names.iter().position(|other| other == name).unwrap();
                let value = match value.to_string() {
                    none if none == "null" => String::new(),
                    text => text.trim_matches('"').to_owned(),
                };
                assert_eq!(value, expected[at], "{name}");
            }
            count += 1;
        }
        assert_eq!(count, GROUP + 2);
    }
}
