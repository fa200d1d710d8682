//! Losses that train modules beside the student.

use std::cell::RefCell;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use kd_losses::{
    ActivationBoundaryLoss, ActivationBoundaryLossConfig, CrdLossConfig, CrdSamples,
    FactorTransferLoss, FactorTransferLossConfig, MgdLossConfig, OfdLoss, OfdLossConfig, Regressor,
    RegressorConfig, Result, ReviewKdLossConfig, SemCkdLossConfig, SimKdLoss, SimKdLossConfig,
    SrrlLossConfig, VidLoss, VidLossConfig, ofd_margins,
};

use super::features::{learn_stages, stages_name};
use super::{BATCH, CLASSES, EMBEDDING, MAPS, Sizes};

/// The teacher's maps are four times as wide where a 1x1 convolution widens the student's: a resnet8 and a
/// resnet8x4.
const WIDER: usize = 4;
const SEED: u64 = 0;
/// Images of CIFAR's training set, each with a place in the memory of CRD.
const SAMPLES: usize = 50_000;

pub(super) fn add(sizes: &mut Sizes<'_>) {
    add_of_maps(
        sizes,
        "hint",
        WIDER,
        |from, to, device| RegressorConfig::new(from, to).init(SEED, device),
        Regressor::hint,
    );
    add_of_maps(
        sizes,
        "vid",
        WIDER,
        |from, to, device| VidLossConfig::new().init(from, to, SEED, device),
        VidLoss::forward,
    );
    add_of_maps(
        sizes,
        "ofd",
        WIDER,
        |from, to, device| {
            let margins = ofd_margins(&vec![0.0; to], &vec![1.0; to])?;
            OfdLossConfig::new().init(from, margins, SEED, device)
        },
        OfdLoss::forward,
    );
    add_of_maps(
        sizes,
        "simkd",
        WIDER,
        |from, to, device| SimKdLossConfig::new().init(from, to, SEED, device),
        SimKdLoss::forward,
    );
    add_of_maps(
        sizes,
        "ab",
        WIDER,
        |from, to, device| ActivationBoundaryLossConfig::new().init(from, to, SEED, device),
        ActivationBoundaryLoss::forward,
    );
    // Several 3x3 convolutions as wide as the teacher would take seconds each at four times the width.
    add_of_maps(
        sizes,
        "mgd",
        1,
        |from, to, device| MgdLossConfig::new().init(from, to, SEED, device),
        |module, student, teacher| module.forward(student, teacher, 0),
    );
    add_of_maps(
        sizes,
        "ft",
        1,
        |from, to, device| FactorTransferLossConfig::new().init(from, to, SEED, device),
        FactorTransferLoss::forward,
    );
    add_srrl(sizes);
    add_of_stages(sizes);
    add_crd(sizes);
}

/// A loss of one map of each side, at both sizes.
fn add_of_maps<M: Module + 'static>(
    sizes: &mut Sizes<'_>,
    name: &'static str,
    wider: usize,
    init: fn(usize, usize, &Device) -> Result<M>,
    loss: fn(&M, Tensor<4>, Tensor<4>) -> Result<Tensor<1>>,
) {
    for [channels, side] in MAPS {
        sizes.add(name, of_widths(channels, side, wider), move |mut data| {
            let wide = wider * channels;
            let teacher = data.given("teacher", [BATCH, wide, side, side]);
            data.learns_map(
                "student",
                data.normal("student", [BATCH, channels, side, side]),
            );
            data.trained(
                |device| init(channels, wide, device),
                move |module, x| loss(module, x.map(0), teacher.clone()),
            )
        });
    }
}

/// `b64_16x32x32_to_64` where the teacher has 64 channels.
fn of_widths(channels: usize, side: usize, wider: usize) -> String {
    let student = format!("b{BATCH}_{channels}x{side}x{side}");
    match wider {
        1 => student,
        _ => format!("{student}_to_{}", wider * channels),
    }
}

/// Of the last maps, which the teacher's linear classifier reads.
fn add_srrl(sizes: &mut Sizes<'_>) {
    let [channels, side] = MAPS[1];
    let of = of_widths(channels, side, WIDER);
    sizes.add("srrl", of, move |mut data| {
        let wide = WIDER * channels;
        let teacher = data.given("teacher", [BATCH, wide, side, side]);
        let head = data.given::<2>("head", [wide, CLASSES]);
        data.learns_map(
            "student",
            data.normal("student", [BATCH, channels, side, side]),
        );
        data.trained(
            |device| SrrlLossConfig::new().init(channels, wide, SEED, device),
            move |module, x| {
                module.forward(x.map(0), teacher.clone(), |rows| {
                    let head = head.clone();
                    let head = if rows.is_autodiff() {
                        Tensor::from_inner(head)
                    } else {
                        head
                    };
                    Ok(rows.matmul(head))
                })
            },
        )
    });
}

/// Losses of both maps at once.
fn add_of_stages(sizes: &mut Sizes<'_>) {
    let widths = |wider: usize| MAPS.map(|[channels, _]| wider * channels);
    let of = format!("{}_to_64_256", stages_name());
    sizes.add("reviewkd", of, move |mut data| {
        let teachers = learn_stages(&mut data, WIDER);
        data.trained(
            |device| ReviewKdLossConfig::new().init(&widths(1), &widths(WIDER), SEED, device),
            move |module, x| module.forward(&x.maps(), &teachers),
        )
    });
    // Its 3x3 convolutions are twice as wide as the teacher: at equal widths.
    sizes.add("semckd", stages_name(), move |mut data| {
        let teachers = learn_stages(&mut data, 1);
        data.trained(
            |device| SemCkdLossConfig::new().init(&widths(1), &widths(1), BATCH, SEED, device),
            move |module, x| module.forward(&x.maps(), &teachers),
        )
    });
}

/// With the defaults: 128 dimensions, 16384 negatives.
fn add_crd(sizes: &mut Sizes<'_>) {
    let config = CrdLossConfig::new();
    let of = format!("b{BATCH}_{EMBEDDING}_n{}", config.num_negatives);
    sizes.add("crd", of, move |mut data| {
        let config = CrdLossConfig::new();
        let teacher = data.given("teacher", [BATCH, EMBEDDING]);
        data.learns_rows("student", data.normal("student", [BATCH, EMBEDDING]));
        let ids: Vec<usize> = (0..BATCH).map(|index| index * 701).collect();
        let of_file: Vec<i64> = (0_i64..).map(|index| index * 701).take(BATCH).collect();
        data.give("ids", TensorData::new(of_file, [BATCH]));
        let memory = config.init_memory(CrdSamples::Count(SAMPLES), SEED, &data.device)?;
        for (name, state) in memory.state() {
            data.give(&name, state);
        }
        // One for the calls without gradients, one for those with.
        let memories = [RefCell::new(memory.clone()), RefCell::new(memory)];
        data.trained(
            |device| config.init(EMBEDDING, EMBEDDING, SEED, device),
            move |module, x| {
                let memory = &mut memories[usize::from(x.learn())].borrow_mut();
                module.forward(x.rows(0), teacher.clone(), &ids, 0, memory)
            },
        )
    });
}
