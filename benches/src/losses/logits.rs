//! Losses of logits, and of maps with a prediction at each position.

use burn::tensor::{Int, Tensor};
use kd_losses::{
    AdversarialKlLossConfig, BeliefMatchingLossConfig, CrossEntropyLossConfig, CwdLossConfig,
    DecoupledKdLossConfig, DistLossConfig, JensenShannonLossConfig, LogitStandardisationLossConfig,
    MultiLevelLossConfig, NormalisedKdLossConfig, PairWiseAffinityLossConfig, PixelWiseLossConfig,
    Result, ReverseKlLossConfig, SoftCrossEntropyLossConfig, SoftTargetLossConfig,
    VirtualTeacherLossConfig, WeightedSoftLabelLossConfig, logit_l1, logit_regression,
};

use super::{BATCH, CLASSES, Sizes};

type OfLogits = fn(Tensor<2>, Tensor<2>, Tensor<1, Int>) -> Result<Tensor<1>>;

/// Whether a gradient flows into the teacher's logits, too.
#[derive(Clone, Copy, PartialEq)]
enum Teacher {
    Constant,
    Learns,
}
use Teacher::{Constant, Learns};

const LOGITS: [(&str, Teacher, OfLogits); 16] = [
    ("cross-entropy", Constant, |s, _, y| {
        CrossEntropyLossConfig::new().init()?.forward(s, y)
    }),
    ("kd", Constant, |s, t, _| {
        SoftTargetLossConfig::new().init()?.forward(s, t)
    }),
    ("logit-regression", Constant, |s, t, _| {
        logit_regression(s, t)
    }),
    ("dkd", Constant, |s, t, y| {
        DecoupledKdLossConfig::new().init()?.forward(s, t, y)
    }),
    ("dist", Constant, |s, t, _| {
        DistLossConfig::new().init()?.forward(s, t)
    }),
    ("nkd", Constant, |s, t, y| {
        NormalisedKdLossConfig::new().init()?.forward(s, t, y)
    }),
    ("wsld", Constant, |s, t, y| {
        WeightedSoftLabelLossConfig::new().init()?.forward(s, t, y)
    }),
    ("logit-standardisation", Constant, |s, t, _| {
        LogitStandardisationLossConfig::new().init()?.forward(s, t)
    }),
    ("mlkd", Constant, |s, t, _| {
        MultiLevelLossConfig::new().init()?.forward(s, t)
    }),
    ("virtual-teacher", Constant, |s, _, y| {
        VirtualTeacherLossConfig::new().init()?.forward(s, y)
    }),
    ("reverse-kl", Constant, |s, t, _| {
        ReverseKlLossConfig::new().init()?.forward(s, t)
    }),
    ("jensen-shannon", Constant, |s, t, _| {
        JensenShannonLossConfig::new().init()?.forward(s, t)
    }),
    ("soft-cross-entropy", Constant, |s, t, _| {
        SoftCrossEntropyLossConfig::new().init()?.forward(s, t)
    }),
    ("adversarial-kl", Learns, |s, t, _| {
        AdversarialKlLossConfig::new().init()?.forward(s, t)
    }),
    ("belief-matching", Learns, |s, t, _| {
        BeliefMatchingLossConfig::new().init()?.forward(s, t)
    }),
    ("logit-l1", Learns, |s, t, _| logit_l1(s, t)),
];

type OfMaps = fn(Tensor<4>, Tensor<4>) -> Result<Tensor<1>>;

const DENSE: [(&str, OfMaps); 3] = [
    ("cwd", |s, t| CwdLossConfig::new().init()?.forward(s, t)),
    ("pixel-wise", |s, t| {
        PixelWiseLossConfig::new().init()?.forward(s, t)
    }),
    ("pair-wise-affinity", |s, t| {
        PairWiseAffinityLossConfig::new().init()?.forward(s, t)
    }),
];

pub(super) fn add(sizes: &mut Sizes<'_>) {
    for (name, teacher, loss) in LOGITS {
        add_logits(sizes, name, [BATCH, CLASSES], teacher, loss);
        if ["cross-entropy", "kd"].contains(&name) {
            for classes in [10, 100] {
                add_logits(sizes, name, [256, classes], teacher, loss);
            }
        }
    }
    for (name, loss) in DENSE {
        // 19 classes are those of Cityscapes; 64 positions a side are an eighth of a crop of 512.
        sizes.add(name, "b8_19x64x64", move |mut data| {
            let shape = [8, 19, 64, 64];
            let teacher = data.given("teacher", shape);
            data.learns_map("student", data.normal("student", shape));
            Ok(data.case(move |x| loss(x.map(0), teacher.clone())))
        });
    }
}

fn add_logits(
    sizes: &mut Sizes<'_>,
    name: &'static str,
    [batch_size, classes]: [usize; 2],
    teacher: Teacher,
    loss: OfLogits,
) {
    let of = format!("b{batch_size}_c{classes}");
    sizes.add(name, of, move |mut data| {
        let shape = [batch_size, classes];
        let student: Tensor<2> = data.normal("student", shape) * 2.0;
        // They often agree on the class, as trained networks do.
        let logits = data.normal("teacher", shape) + student.clone();
        let targets = data.targets(batch_size, classes);
        data.learns_rows("student", student);
        if teacher == Learns {
            data.learns_rows("teacher", logits);
            return Ok(data.case(move |x| loss(x.rows(0), x.rows(1), targets.clone())));
        }
        data.give("teacher", logits.to_data());
        Ok(data.case(move |x| loss(x.rows(0), logits.clone(), targets.clone())))
    });
}
