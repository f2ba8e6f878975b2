//! The binary `trandb`; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    trandb_cli::main()
}
