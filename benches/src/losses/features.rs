//! Losses of feature maps and of embeddings that train nothing beside the student.

use burn::tensor::Tensor;
use kd_losses::{
    AttentionTransferLossConfig, CorrelationCongruenceLossConfig, IckdLossConfig,
    InfoNceLossConfig, KdsvdLossConfig, NstLossConfig, PkdLossConfig, PktLossConfig, Result,
    SimilarityPreservingLossConfig, fsp, hint, rkd_angle, rkd_distance,
};

use super::case::Inputs;
use super::{BATCH, Data, EMBEDDING, MAPS, Sizes};

type OfMaps = fn(Tensor<4>, Tensor<4>) -> Result<Tensor<1>>;
type OfEmbeddings = fn(Tensor<2>, Tensor<2>) -> Result<Tensor<1>>;
type OfStages = fn(Vec<Tensor<4>>, Vec<Tensor<4>>) -> Result<Tensor<1>>;

const OF_MAPS: [(&str, OfMaps); 6] = [
    ("hint", hint),
    ("attention-transfer", |s, t| {
        AttentionTransferLossConfig::new().init()?.forward(s, t)
    }),
    ("sp", |s, t| {
        SimilarityPreservingLossConfig::new().init()?.forward(s, t)
    }),
    ("pkd", |s, t| PkdLossConfig::new().init()?.forward(s, t)),
    ("nst", |s, t| NstLossConfig::new().init()?.forward(s, t)),
    ("ickd", |s, t| IckdLossConfig::new().init()?.forward(s, t)),
];

const OF_EMBEDDINGS: [(&str, OfEmbeddings); 5] = [
    ("rkd-distance", rkd_distance),
    ("rkd-angle", rkd_angle),
    ("pkt", |s, t| PktLossConfig::new().init()?.forward(s, t)),
    ("cc", |s, t| {
        CorrelationCongruenceLossConfig::new().init()?.forward(s, t)
    }),
    ("info-nce", |s, t| {
        InfoNceLossConfig::new().init()?.forward(s, t)
    }),
];

/// Of several layers at once, here of both maps.
const OF_STAGES: [(&str, OfStages); 2] = [
    ("fsp", |s, t| {
        let two = |maps: Vec<Tensor<4>>| [maps[0].clone(), maps[1].clone()];
        fsp(two(s), two(t))
    }),
    ("kdsvd", |s, t| {
        KdsvdLossConfig::new().init()?.forward(&s, &t)
    }),
];

pub(super) fn add(sizes: &mut Sizes<'_>) {
    for (name, loss) in OF_MAPS {
        for [channels, side] in MAPS {
            let of = format!("b{BATCH}_{channels}x{side}x{side}");
            sizes.add(name, of, move |mut data| {
                let shape = [BATCH, channels, side, side];
                let teacher = data.given("teacher", shape);
                data.learns_map("student", data.normal("student", shape));
                Ok(data.case(move |x| loss(x.map(0), teacher.clone())))
            });
        }
    }
    for (name, loss) in OF_EMBEDDINGS {
        sizes.add(name, format!("b{BATCH}_{EMBEDDING}"), move |mut data| {
            let teacher = data.given("teacher", [BATCH, EMBEDDING]);
            data.learns_rows("student", data.normal("student", [BATCH, EMBEDDING]));
            Ok(data.case(move |x| loss(x.rows(0), teacher.clone())))
        });
    }
    for (name, loss) in OF_STAGES {
        sizes.add(name, stages_name(), move |mut data| {
            let teachers = learn_stages(&mut data, 1);
            Ok(data.case(move |x: &Inputs| loss(x.maps(), teachers.clone())))
        });
    }
}

/// How the sizes of both maps together are called.
pub(super) fn stages_name() -> String {
    let maps = MAPS.map(|[channels, side]| format!("{channels}x{side}x{side}"));
    format!("b{BATCH}_{}", maps.join("_"))
}

/// Makes both maps of the student learn, and gives those of the teacher, which are `wider` times as wide.
pub(super) fn learn_stages(data: &mut Data, wider: usize) -> Vec<Tensor<4>> {
    let names = [("student0", "teacher0"), ("student1", "teacher1")];
    let stages = names.into_iter().zip(MAPS);
    let stages = stages.map(|((student, teacher), [channels, side])| {
        let learning = data.normal(student, [BATCH, channels, side, side]);
        data.learns_map(student, learning);
        data.given(teacher, [BATCH, wider * channels, side, side])
    });
    stages.collect()
}
