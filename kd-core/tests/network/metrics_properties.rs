//! Classification metrics against plain formulas, on random logits.

use kd_core::ClassificationMetrics;
use proptest::prelude::*;

const CLASSES: usize = 4;

/// Logits of student and teacher, and the target.
type Sample = ([f32; CLASSES], [f32; CLASSES], usize);

fn samples() -> impl Strategy<Value = Vec<Sample>> {
    let row = || prop::array::uniform4(-20.0_f32..20.0);
    prop::collection::vec((row(), row(), 0..CLASSES), 1..40)
}

fn flat(rows: impl Iterator<Item = [f32; CLASSES]>) -> Vec<f32> {
    rows.flatten().collect()
}

proptest! {
    #[test]
    fn batches_do_not_matter_at_all(samples in samples(), size in 1_usize..50) {
        let count = |size: usize| {
            let mut metrics = ClassificationMetrics::new(CLASSES).unwrap().with_top_k(2).unwrap();
            for batch in samples.chunks(size) {
                let student = flat(batch.iter().map(|sample| sample.0));
                let teacher = flat(batch.iter().map(|sample| sample.1));
                let targets: Vec<usize> = batch.iter().map(|sample| sample.2).collect();
                metrics.add(&student, &targets, Some(&teacher)).unwrap();
            }
            (metrics.summary().unwrap(), metrics.confusion().clone())
        };
        prop_assert_eq!(count(size), count(1));
    }

    #[test]
    fn everything_agrees_with_the_plain_formulas(samples in samples()) {
        let mut metrics = ClassificationMetrics::new(CLASSES).unwrap().with_top_k(2).unwrap();
        let (student, teacher) = (flat(samples.iter().map(|s| s.0)), flat(samples.iter().map(|s| s.1)));
        let targets: Vec<usize> = samples.iter().map(|sample| sample.2).collect();
        metrics.add(&student, &targets, Some(&teacher)).unwrap();
        let made = metrics.summary().unwrap();

        let n = samples.len() as f64;
        let softmax = |row: &[f32; CLASSES]| {
            let e = row.map(|x| f64::from(x).exp());
            e.map(|x| x / e.iter().sum::<f64>())
        };
        let sorted = |row: &[f32; CLASSES]| {
            let mut order = [0, 1, 2, 3];
            order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
            order
        };
        let share = |hit: &dyn Fn(&Sample) -> bool| {
            samples.iter().filter(|sample| hit(sample)).count() as f64 / n
        };
        let close = |a: f64, b: f64| (a - b).abs() < 1e-9 * (1.0 + b.abs());
        prop_assert!(close(made.accuracy, share(&|s| sorted(&s.0)[0] == s.2)));
        prop_assert!(close(made.top_k_accuracy, share(&|s| sorted(&s.0)[..2].contains(&s.2))));
        let loss = samples.iter().map(|s| -softmax(&s.0)[s.2].ln()).sum::<f64>() / n;
        prop_assert!(close(made.loss, loss));
        let compared = made.teacher.unwrap();
        prop_assert!(close(compared.agreement, share(&|s| sorted(&s.0)[0] == sorted(&s.1)[0])));
        let kl = |s: &Sample| {
            let (p, q) = (softmax(&s.0), softmax(&s.1));
            (0..CLASSES).map(|k| q[k] * (q[k] / p[k]).ln()).sum::<f64>()
        };
        prop_assert!(close(compared.kl, samples.iter().map(kl).sum::<f64>() / n));
        let mut ece = 0.0;
        for bin in 0..15 {
            let (low, high) = (f64::from(bin) / 15.0, f64::from(bin + 1) / 15.0);
            let confidence = |s: &[f32; CLASSES]| softmax(s).into_iter().fold(0.0, f64::max);
            let is_inside = |confidence: f64| confidence > low && confidence <= high;
            let inside = samples.iter().filter(|s| is_inside(confidence(&s.0)));
            let gap = |s: &Sample| {
                f64::from(u8::from(sorted(&s.0)[0] == s.2)) - confidence(&s.0)
            };
            ece += inside.map(gap).sum::<f64>().abs();
        }
        prop_assert!(close(made.ece, ece / n));
    }

    #[test]
    fn ranges_hold_and_a_teacher_equal_to_the_student_is_at_zero(samples in samples()) {
        let mut metrics = ClassificationMetrics::new(CLASSES).unwrap();
        let student = flat(samples.iter().map(|sample| sample.0));
        let targets: Vec<usize> = samples.iter().map(|sample| sample.2).collect();
        metrics.add(&student, &targets, Some(&student)).unwrap();
        let made = metrics.summary().unwrap();
        let compared = made.teacher.unwrap();
        prop_assert_eq!((compared.agreement, compared.kl), (1.0, 0.0));
        prop_assert!((0.0..=1.0).contains(&made.ece) && made.loss >= 0.0);
        prop_assert!(made.accuracy <= made.top_k_accuracy);
    }
}
