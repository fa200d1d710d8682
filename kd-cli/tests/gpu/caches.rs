//! Kept answers of teachers: a run that reads them is the run that asks the teacher.

use crate::compared::Compared;
use crate::devices::{gpu, gpu_name};
use crate::recipes::{compare, place, run};

/// Not to the bit, as on the CPU: a GPU's product of matrices depends on the size of the batch.
#[test]
fn a_run_with_a_cache_is_the_run_without() {
    gpu();
    let place = place();
    let folder = |name: &str| place.path().join(name);
    let kept = format!("cache.dir=\"{}\"", folder("caches").display());
    run(place.path(), "offline", &[], "live", gpu_name());
    run(
        place.path(),
        "offline",
        std::slice::from_ref(&kept),
        "built",
        gpu_name(),
    );
    run(place.path(), "offline", &[kept], "read", gpu_name());
    assert!(folder("caches").read_dir().unwrap().count() > 0);
    let mut losses = Compared::new("losses with a cache", 1e-3);
    let mut weights = Compared::new("weights with a cache", 1e-3);
    for cached in ["built", "read"] {
        let (cached_run, live) = (folder(cached), folder("live"));
        compare(&mut losses, &mut weights, cached, [&cached_run, &live]);
    }
    losses.end();
    weights.end();
}
