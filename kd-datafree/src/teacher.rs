//! The teacher of images: a frozen classifier that passes gradients to its input.

use std::rc::Rc;
use std::sync::Arc;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Tensor};
use kd_core::{
    Answer, Batch, Error, FrozenTeacher, ImageClassifier, ImageShape, Normalisation, Preprocessing,
    Requested, Result, Teacher, Tensors, count_norms,
};
use kd_kernels::{NormInput, watch_norms};

/// A teacher's output for a batch of images, and everything that was noted on the way through it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TeacherBatch {
    /// `[batch_size, num_classes]`.
    pub logits: Tensor<2>,
    /// The input of the head, `[batch_size, features]`.
    pub dense: Tensor<2>,
    /// The map of each stage, `[batch_size, channels, height, width]`.
    pub maps: Vec<Tensor<4>>,
    /// The input of each batch norm.
    pub norms: Vec<NormInput>,
}

/// A [`Teacher`] that passes gradients to the images it is given, and shows the inputs of its batch norms.
///
/// It is object-safe, so that teacher and student may be of different types; [`FrozenClassifier`] makes one
/// of any classifier. The data that it was trained on is never asked for.
pub trait ImageTeacher: Teacher {
    /// The forward pass with everything that is noted on the way.
    ///
    /// # Shapes
    ///
    /// `input`: `[batch_size, channels, height, width]` *after* the teacher's normalisation, on either form
    /// of the device.
    fn inspect(&self, input: Tensor<4>) -> TeacherBatch;

    /// The shape of its images.
    fn image(&self) -> ImageShape;

    /// The number of its classes.
    fn classes(&self) -> usize;

    /// The number of batch norms in [`TeacherBatch::norms`]; 0 for a teacher without.
    fn norms(&self) -> usize;

    /// The normalisation of pixels in `[0, 1]`, which is its preprocessing.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if its preprocessing is unknown or one for another kind of samples.
    fn normalisation(&self) -> Result<&Normalisation> {
        let unknown = || {
            let problem = "does not state its preprocessing, without which no images can be made for it; \
                           give one that does";
            Error::config("teacher", problem)
        };
        image_normalisation(self.preprocessing().ok_or_else(unknown)?)
    }

    /// The number of maps at the front of [`TeacherBatch::maps`] that are of a stem: methods that compare
    /// stages, as their public codes hook them, leave those out. By default 1 where the first of several
    /// stages is called `stem`.
    fn stem(&self) -> usize {
        stem(&self.stage_names())
    }
}

/// The normalisation of a network of images; an error in words for a network of anything else.
fn image_normalisation(preprocessing: &Preprocessing) -> Result<&Normalisation> {
    preprocessing.normalisation().map_err(|_| {
        let problem = "does not take images, and data-free distillation makes nothing else; \
                       use a teacher of images";
        Error::config("teacher", problem)
    })
}

/// The number of stages that stand before the first one that methods count.
pub(crate) fn stem(stage_names: &[String]) -> usize {
    usize::from(stage_names.len() > 1 && stage_names[0] == "stem")
}

/// The precision of a network's weights.
fn precision<N: Module>(network: &N) -> DType {
    struct First(Option<DType>);

    impl ModuleVisitor for First {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.get_or_insert_with(|| param.val().dtype());
        }
    }

    let mut first = First(None);
    network.visit(&mut first);
    first.0.unwrap_or(DType::F32)
}

/// A frozen classifier as it was trained, its batch norms where they were.
#[derive(Debug)]
pub struct FrozenClassifier<N> {
    teacher: FrozenTeacher<N>,
    image: ImageShape,
    classes: usize,
    norms: usize,
}

impl<N: ImageClassifier> FrozenClassifier<N> {
    /// A frozen copy of `network`, which takes images of shape `image`, moved to the plain form of `device`.
    ///
    /// One black image goes through it.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the preprocessing is not one for images, or the network has batch norms that it
    /// does not run by [`batch_norm`](kd_kernels::batch_norm); [`Error::Shape`] if the normalisation is not
    /// one of so many channels.
    pub fn new(
        network: &N,
        preprocessing: impl Into<Preprocessing>,
        image: ImageShape,
        device: &Device,
    ) -> Result<Self> {
        let preprocessing = preprocessing.into();
        image_normalisation(&preprocessing)?;
        let black = Batch::black([image.channels, image.height, image.width], 1, device);
        let black: Tensor<4> = preprocessing.input(&black)?;
        let black = black.cast(precision(network));
        let teacher = FrozenTeacher::unfolded(network, preprocessing, device);
        let (logits, norms) = watch_norms(|| teacher.network().forward(&black));
        let held = count_norms(network);
        if norms.len() < held {
            let problem = format!(
                "has {held} batch norms, of which {} can be seen; run them by `kd_kernels::batch_norm`",
                norms.len()
            );
            return Err(Error::config("teacher", problem));
        }
        Ok(Self {
            teacher,
            image,
            classes: logits.dims()[1],
            norms: norms.len(),
        })
    }

    /// The network as it answers.
    pub fn network(&self) -> &N {
        self.teacher.network()
    }
}

impl<N: ImageClassifier> Teacher for FrozenClassifier<N> {
    fn stage_names(&self) -> Vec<String> {
        self.teacher.stage_names()
    }

    fn answer(&self, batch: &Batch, requested: &Requested) -> Result<Answer> {
        self.teacher.answer(batch, requested)
    }

    fn hash(&self) -> String {
        self.teacher.hash()
    }

    fn preprocessing(&self) -> Option<&Preprocessing> {
        self.teacher.preprocessing()
    }

    fn classify(&self, dense: Tensor<2>) -> Result<Tensor<2>> {
        self.teacher.classify(dense)
    }

    fn classify_pixels(&self, dense: Tensor<4>) -> Result<Tensor<4>> {
        self.teacher.classify_pixels(dense)
    }

    fn parameters(&self) -> Option<u64> {
        self.teacher.parameters()
    }

    fn stage_tensors(&self, stage: usize) -> Option<Tensors> {
        self.teacher.stage_tensors(stage)
    }
}

impl<N: ImageClassifier> ImageTeacher for FrozenClassifier<N> {
    fn inspect(&self, input: Tensor<4>) -> TeacherBatch {
        let (trace, norms) = watch_norms(|| self.network().forward_traced(&input));
        TeacherBatch {
            logits: trace.output,
            dense: trace.dense,
            maps: trace.maps,
            norms,
        }
    }

    fn image(&self) -> ImageShape {
        self.image
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn norms(&self) -> usize {
        self.norms
    }
}

macro_rules! forward_to_the_teacher {
    ($($holder:ty),*) => {$(
        impl<T: ImageTeacher + ?Sized> ImageTeacher for $holder {
            fn inspect(&self, input: Tensor<4>) -> TeacherBatch {
                (**self).inspect(input)
            }

            fn image(&self) -> ImageShape {
                (**self).image()
            }

            fn classes(&self) -> usize {
                (**self).classes()
            }

            fn norms(&self) -> usize {
                (**self).norms()
            }

            fn normalisation(&self) -> Result<&Normalisation> {
                (**self).normalisation()
            }

            fn stem(&self) -> usize {
                (**self).stem()
            }
        }
    )*};
}

forward_to_the_teacher!(&T, Box<T>, Rc<T>, Arc<T>);
