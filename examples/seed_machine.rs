//! Writes the dump of the first case's machine, rebuilt from what `crash` printed of it (no dump of it exists).
//!
//! `cargo run --example seed_machine -- FILE`, then `vmcoroner identify FILE`.

#[path = "../tests/support/mod.rs"]
mod support;

use support::dump_writer::kdump::{self, Kdump};
use support::el7::{self, Options};

fn main() -> std::io::Result<()> {
    let Some(path) = std::env::args_os().nth(1) else {
        eprintln!("usage: cargo run --example seed_machine -- FILE");
        std::process::exit(2);
    };
    let machine = el7::machine(Options::default());
    std::fs::write(&path, kdump::write(&machine, &Kdump::default()))
}
