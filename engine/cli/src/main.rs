//! The `karat` command: everything is in the library, so that tests can call it.

fn main() -> std::process::ExitCode {
    karat_cli::main()
}
