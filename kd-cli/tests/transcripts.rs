//! Runs the transcripts in `tests/cmd`, which are the user's manual as well.
//!
//! `TRYCMD=overwrite cargo test --test transcripts` writes down what the command says now; review each
//! change, and put `[..]` back where digits, times and paths were.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

#[path = "command/pictures.rs"]
mod pictures;

/// The folder of `own-images.md`.
fn own_images() {
    let place = std::path::Path::new("tests/cmd/own-images.in");
    if place.is_dir() {
        std::fs::remove_dir_all(place).unwrap();
    }
    pictures::photos(&place.join("photos"));
    pictures::flat_photos(&place.join("flat"));
    pictures::scans(&place.join("scans"));
}

#[test]
fn the_transcripts_are_what_kd_says() {
    let cache = tempfile::tempdir().unwrap();
    let folder = cache.path().display().to_string();
    own_images();
    let cases = trycmd::TestCases::new();
    cases
        .register_bin("kd", std::path::PathBuf::from(env!("CARGO_BIN_EXE_kd")))
        .case("tests/cmd/*.md")
        // A person without data and with a terminal of ordinary width.
        .env("COLUMNS", "100")
        .env("HOME", folder.clone())
        .env("XDG_CACHE_HOME", folder.clone())
        .env("KD_DATA", "")
        // Lines of progress are shown where they are asked for.
        .env("KD_PROGRESS", "none")
        .insert_var("[CACHE]", folder)
        .unwrap();
    cases.run();
}
