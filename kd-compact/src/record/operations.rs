//! Operations of a recording by what they do.

use burn::backend::ir::{
    ActivationOperationIr, FloatOperationIr, NumericOperationIr, OperationIr, ScalarIr, TensorIr,
};

use crate::function::Function;
use crate::op::Join;

/// An operation's name, for words: `LayerNorm`.
pub(super) fn name(operation: &OperationIr) -> String {
    // Such as `Module(LayerNorm(...` or `NumericFloat(F32, CumSum(...`.
    let text = format!("{operation:?}");
    let part = text.split('(').nth(1).unwrap_or(&text);
    let last = part.rsplit([' ', ',']).next().unwrap_or(part);
    let name: String = last
        .chars()
        .take_while(char::is_ascii_alphanumeric)
        .collect();
    if name.is_empty() {
        "an operation".into()
    } else {
        name
    }
}

/// A number that stands in an operation.
pub(super) fn number(scalar: ScalarIr) -> f64 {
    scalar.elem()
}

/// An operation that changes each number by itself: what it reads, what it makes, and the function.
pub(super) fn elementwise(operation: &OperationIr) -> Option<(&TensorIr, &TensorIr, Function)> {
    match operation {
        OperationIr::Activation(activation) => of_activation(activation),
        OperationIr::NumericFloat(_, numeric) => of_number(numeric),
        OperationIr::Float(_, float) => of_float(float),
        _ => None,
    }
}

type Found<'a> = Option<(&'a TensorIr, &'a TensorIr, Function)>;

fn of_activation(activation: &ActivationOperationIr) -> Found<'_> {
    use ActivationOperationIr as A;
    let function = match activation {
        A::LeakyRelu(desc) => {
            let function = Function::LeakyRelu(number(desc.rhs));
            return Some((&desc.lhs, &desc.out, function));
        }
        A::HardSigmoid(desc) => {
            let function = Function::HardSigmoid([number(desc.alpha), number(desc.beta)]);
            return Some((&desc.tensor, &desc.out, function));
        }
        A::Relu(_) => Function::Relu,
        A::Sigmoid(_) => Function::Sigmoid,
        A::Gelu(_) => Function::Other { keeps_zero: true },
        A::LogSigmoid(_) => Function::Other { keeps_zero: false },
        _ => return None,
    };
    match activation {
        A::Relu(desc) | A::Sigmoid(desc) | A::Gelu(desc) | A::LogSigmoid(desc) => {
            Some((&desc.input, &desc.out, function))
        }
        _ => None,
    }
}

fn of_number(numeric: &NumericOperationIr) -> Found<'_> {
    use NumericOperationIr as N;
    Some(match numeric {
        N::AddScalar(desc) => (&desc.lhs, &desc.out, Function::Shift(number(desc.rhs))),
        N::SubScalar(desc) => (&desc.lhs, &desc.out, Function::Shift(-number(desc.rhs))),
        N::MulScalar(desc) => (&desc.lhs, &desc.out, Function::Scale(number(desc.rhs))),
        N::DivScalar(desc) => (
            &desc.lhs,
            &desc.out,
            Function::Scale(1.0 / number(desc.rhs)),
        ),
        N::ClampMin(desc) => {
            let bounds = [number(desc.rhs), f64::INFINITY];
            (&desc.lhs, &desc.out, Function::Clamp(bounds))
        }
        N::ClampMax(desc) => {
            let bounds = [f64::NEG_INFINITY, number(desc.rhs)];
            (&desc.lhs, &desc.out, Function::Clamp(bounds))
        }
        N::Clamp(desc) => {
            let bounds = [number(desc.min), number(desc.max)];
            (&desc.tensor, &desc.out, Function::Clamp(bounds))
        }
        N::Neg(desc) => (&desc.input, &desc.out, Function::Scale(-1.0)),
        N::Abs(desc) | N::Sign(desc) => {
            (&desc.input, &desc.out, Function::Other { keeps_zero: true })
        }
        N::PowiScalar(desc) => {
            let keeps_zero = number(desc.rhs) > 0.0;
            (&desc.lhs, &desc.out, Function::Other { keeps_zero })
        }
        _ => return None,
    })
}

fn of_float(float: &FloatOperationIr) -> Found<'_> {
    use FloatOperationIr as F;
    Some(match float {
        F::Tanh(desc) => (&desc.input, &desc.out, Function::Tanh),
        F::Erf(desc)
        | F::Log1p(desc)
        | F::Sqrt(desc)
        | F::Sin(desc)
        | F::Sinh(desc)
        | F::Tan(desc)
        | F::ArcTan(desc)
        | F::ArcSin(desc)
        | F::ArcSinh(desc)
        | F::ArcTanh(desc)
        | F::Round(desc)
        | F::Floor(desc)
        | F::Ceil(desc)
        | F::Trunc(desc) => (&desc.input, &desc.out, Function::Other { keeps_zero: true }),
        F::Exp(desc)
        | F::Log(desc)
        | F::Cos(desc)
        | F::Cosh(desc)
        | F::ArcCos(desc)
        | F::ArcCosh(desc)
        | F::Recip(desc) => (
            &desc.input,
            &desc.out,
            Function::Other { keeps_zero: false },
        ),
        F::PowfScalar(desc) => {
            let keeps_zero = number(desc.rhs) > 0.0;
            (&desc.lhs, &desc.out, Function::Other { keeps_zero })
        }
        _ => return None,
    })
}

/// A sum, a difference or a product: both sides, and what is made of them.
pub(super) fn join(operation: &OperationIr) -> Option<(Join, [&TensorIr; 3])> {
    use NumericOperationIr as N;
    let OperationIr::NumericFloat(_, numeric) = operation else {
        return None;
    };
    let (join, desc) = match numeric {
        N::Add(desc) => (Join::Sum, desc),
        N::Sub(desc) => (Join::Difference, desc),
        N::Mul(desc) => (Join::Product, desc),
        _ => return None,
    };
    Some((join, [&desc.lhs, &desc.rhs, &desc.out]))
}

/// A mean, sum or extreme along axes: what it reads and makes, the axes, and what becomes of a constant 1.
pub(super) fn reduction(
    operation: &OperationIr,
) -> Option<(&TensorIr, &TensorIr, Vec<usize>, f64)> {
    use NumericOperationIr as N;
    let OperationIr::NumericFloat(_, numeric) = operation else {
        return None;
    };
    let size = |input: &TensorIr, axis: usize| input.shape.as_slice()[axis] as f64;
    Some(match numeric {
        N::MeanDim(desc) | N::MaxDim(desc) | N::MinDim(desc) => {
            (&desc.input, &desc.out, vec![desc.axis], 1.0)
        }
        N::SumDim(desc) => {
            let factor = size(&desc.input, desc.axis);
            (&desc.input, &desc.out, vec![desc.axis], factor)
        }
        N::SumDims(desc) => {
            let factor = desc
                .axes
                .iter()
                .map(|&axis| size(&desc.input, axis))
                .product();
            (&desc.input, &desc.out, desc.axes.clone(), factor)
        }
        _ => return None,
    })
}
