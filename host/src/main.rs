//! The `dseq` program.

fn main() -> std::process::ExitCode {
    dseq::cli::run()
}
