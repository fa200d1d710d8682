//! Renaming the input and the output of an ONNX file.
//!
//! Burn's exporter calls them `tensor_17` and the like. An ONNX file is a protocol buffer: a sequence of
//! fields, each with a key, which is its number and its kind, and a value. Names are text fields of a few
//! messages; only these are changed and everything else is copied.

/// Field numbers of the ONNX schema.
const MODEL_GRAPH: u64 = 7;
const GRAPH_NODE: u64 = 1;
const GRAPH_INPUT: u64 = 11;
const GRAPH_OUTPUT: u64 = 12;
const NODE_INPUT: u64 = 1;
const NODE_OUTPUT: u64 = 2;
const VALUE_NAME: u64 = 1;

/// The model with its first input called `input` and its first output called `output`; none if it is no ONNX
/// model with both.
pub(super) fn rename(model: &[u8], input: &str, output: &str) -> Option<Vec<u8>> {
    let graph = fields(model)?
        .into_iter()
        .find(|field| field.number == MODEL_GRAPH)?;
    let graph = fields(graph.text?)?;
    let name_of = |number: u64| -> Option<Vec<u8>> {
        let value = graph.iter().find(|field| field.number == number)?;
        let name = fields(value.text?)?
            .into_iter()
            .find(|field| field.number == VALUE_NAME)?;
        name.text.map(<[u8]>::to_vec)
    };
    let renames = [
        (name_of(GRAPH_INPUT)?, input.as_bytes()),
        (name_of(GRAPH_OUTPUT)?, output.as_bytes()),
    ];
    let value = |name: &[u8]| {
        let new = renames.iter().find(|(old, _)| old == name);
        Some(new.map_or(name, |(_, new)| new).to_vec())
    };

    mapped(model, &[MODEL_GRAPH], &|graph| {
        let nodes = mapped(graph, &[GRAPH_NODE], &|node| {
            mapped(node, &[NODE_INPUT, NODE_OUTPUT], &value)
        })?;
        mapped(&nodes, &[GRAPH_INPUT, GRAPH_OUTPUT], &|info| {
            mapped(info, &[VALUE_NAME], &value)
        })
    })
}

/// One field of a message.
struct Field<'a> {
    number: u64,
    /// Key and value as they are.
    whole: &'a [u8],
    key: u64,
    /// The value of a text or a message.
    text: Option<&'a [u8]>,
}

/// The fields of a message in their order; none if it is damaged.
fn fields(message: &[u8]) -> Option<Vec<Field<'_>>> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < message.len() {
        let begin = at;
        let key = varint(message, &mut at)?;
        let mut text = None;
        match key & 7 {
            0 => drop(varint(message, &mut at)?),
            1 => at = at.checked_add(8)?,
            5 => at = at.checked_add(4)?,
            2 => {
                let length = usize::try_from(varint(message, &mut at)?).ok()?;
                let end = at.checked_add(length)?;
                text = Some(message.get(at..end)?);
                at = end;
            }
            _ => return None,
        }
        out.push(Field {
            number: key >> 3,
            whole: message.get(begin..at)?,
            key,
            text,
        });
    }
    Some(out)
}

/// The message with the texts of some fields replaced.
fn mapped(
    message: &[u8],
    numbers: &[u64],
    change: &dyn Fn(&[u8]) -> Option<Vec<u8>>,
) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(message.len() + 64);
    for field in fields(message)? {
        match field.text {
            Some(text) if numbers.contains(&field.number) => {
                let new = change(text)?;
                put_varint(&mut out, field.key);
                put_varint(&mut out, new.len() as u64);
                out.extend(new);
            }
            _ => out.extend_from_slice(field.whole),
        }
    }
    Some(out)
}

/// A number in groups of seven bits, the lowest first.
fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    loop {
        let low = u8::try_from(number & 0x7f).unwrap_or_default();
        number >>= 7;
        if number == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(number: u64, value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, number << 3 | 2);
        put_varint(&mut out, value.len() as u64);
        out.extend_from_slice(value);
        out
    }

    fn model(input: &str, middle: &str, output: &str) -> Vec<u8> {
        let node = |from: &str, to: &str| {
            let names = [
                text(NODE_INPUT, from.as_bytes()),
                text(NODE_INPUT, b"weight"),
                text(NODE_OUTPUT, to.as_bytes()),
            ];
            text(GRAPH_NODE, &names.concat())
        };
        let graph = [
            node(input, middle),
            node(middle, output),
            text(GRAPH_INPUT, &text(VALUE_NAME, input.as_bytes())),
            text(GRAPH_OUTPUT, &text(VALUE_NAME, output.as_bytes())),
        ];
        // A version before it, and a field (of number 20) of eight bytes after it.
        [
            vec![8, 0x96, 0x01],
            text(MODEL_GRAPH, &graph.concat()),
            vec![0xA1, 0x01, 1, 2, 3, 4, 5, 6, 7, 8],
        ]
        .concat()
    }

    #[test]
    fn both_ends_are_renamed_wherever_they_are_named() {
        let long = "t".repeat(200);
        let renamed = rename(&model(&long, "tensor_2", "tensor_3"), "images", "logits");
        assert_eq!(renamed.unwrap(), model("images", "tensor_2", "logits"));
    }

    #[test]
    fn what_is_no_model_is_left_alone() {
        let whole = model("a", "b", "c");
        for end in 0..whole.len() {
            let cut = rename(&whole[..end], "images", "logits");
            assert!(cut.is_none() || end >= whole.len() - 10, "{end}");
        }
        assert!(rename(b"no protocol buffer", "images", "logits").is_none());
    }
}
