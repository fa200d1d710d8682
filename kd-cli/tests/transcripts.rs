//! Runs the transcripts in `tests/cmd`, which are the user's manual as well.
//!
//! `TRYCMD=overwrite cargo test --test transcripts` writes down what the command says now; review each
//! change, and put `[..]` back where digits, times and paths were.

#[test]
fn the_transcripts_are_what_kd_says() {
    let cache = tempfile::tempdir().unwrap();
    let folder = cache.path().display().to_string();
    let cases = trycmd::TestCases::new();
    cases
        .register_bin("kd", std::path::PathBuf::from(env!("CARGO_BIN_EXE_kd")))
        .case("tests/cmd/*.md")
        // A person without data and with a terminal of ordinary width.
        .env("COLUMNS", "100")
        .env("HOME", folder.clone())
        .env("XDG_CACHE_HOME", folder.clone())
        .env("KD_DATA", "")
        .insert_var("[CACHE]", folder)
        .unwrap();
    cases.run();
}
