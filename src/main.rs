//! The `vmcoroner` command: hands over to the library.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    vmcoroner::cli::main()
}
