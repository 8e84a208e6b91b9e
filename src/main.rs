//! The command `partstad`.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
