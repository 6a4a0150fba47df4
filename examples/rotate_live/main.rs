//! Rotates passwords of real databases by the built-in drivers, and shows what programs notice that sign in meanwhile.
//!
//! Started by `tests/python/rotating.py`, which starts the servers. Ends with 1 where anything is not as it must be.
mod bench;
mod mariadb;
mod postgres;

use std::process::ExitCode;

fn told(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} says where a server is"))
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let which = std::env::args().nth(1).unwrap_or_default();
    let mut report = bench::Report::default();
    match which.as_str() {
        "postgres" => postgres::all(&mut report).await,
        "mariadb" => mariadb::all(&mut report).await,
        _ => {
            eprintln!("say which: postgres or mariadb");
            return ExitCode::from(2);
        }
    }
    report.end()
}
