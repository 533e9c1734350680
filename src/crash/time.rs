//! Points in time as the record writes them: RFC 3339, UTC.

/// `seconds` since 1970-01-01 as `2019-07-15T05:52:53Z`; `None` past the year 9999.
///
/// The calendar is the proleptic Gregorian one; the day count is turned into a date by eras of 400 years
/// (146,097 days), each taken to begin on 1 March so that the leap day ends its year.
pub fn rfc3339(seconds: u64) -> Option<String> {
    let days = seconds / 86_400 + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    if year > 9999 {
        return None;
    }
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    Some(format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
    ))
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn known_instants() {
        assert_eq!(rfc3339(0).as_deref(), Some("1970-01-01T00:00:00Z"));
        assert_eq!(rfc3339(951_782_400).as_deref(), Some("2000-02-29T00:00:00Z"));
        assert_eq!(rfc3339(1_563_169_973).as_deref(), Some("2019-07-15T05:52:53Z"));
        assert_eq!(rfc3339(4_107_542_399).as_deref(), Some("2100-02-28T23:59:59Z"));
        assert_eq!(rfc3339(u64::MAX), None);
    }
}
