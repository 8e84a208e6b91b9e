//! Where an ONNX file keeps numbers outside itself: the names of its external data, found by walking its protobuf.

use std::io::{self, BufRead, Seek};

/// The messages that lead to external data, with the numbers of their fields that do.
#[derive(Clone, Copy)]
enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    Sparse,
    Function,
    Entry,
}

impl Message {
    fn inside(self, field: u64) -> Option<Message> {
        use Message::*;
        Some(match (self, field) {
            (Model, 7) | (Attribute, 6 | 11) => Graph,
            (Model, 25) => Function,
            (Graph, 1) | (Function, 7) => Node,
            (Graph, 5) | (Attribute, 5 | 10) | (Sparse, 1 | 2) => Tensor,
            (Graph, 15) | (Attribute, 22 | 23) => Sparse,
            (Node, 5) | (Function, 11) => Attribute,
            (Tensor, 13) => Entry,
            _ => return None,
        })
    }
}

/// Graphs inside graphs are no deeper.
const DEPTH: usize = 64;
/// No file's name is longer.
const NAME: u64 = 4096;

/// The names of the files that a model of `length` bytes refers to; of what is no model the ones found before it ends.
///
/// # Errors
/// What reading says; [`io::ErrorKind::InvalidData`] where a name is too long or graphs lie too deep.
pub fn names(mut from: impl BufRead + Seek, length: u64) -> io::Result<Vec<String>> {
    let mut found = vec![];
    walk(&mut from, length, Message::Model, DEPTH, &mut found)?;
    found.sort();
    found.dedup();
    Ok(found)
}

fn walk(
    from: &mut (impl BufRead + Seek),
    end: u64,
    message: Message,
    depth: usize,
    found: &mut Vec<String>,
) -> io::Result<()> {
    let odd = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_string());
    let (mut key, mut value) = (vec![], vec![]);
    while from.stream_position()? < end {
        let Some(tag) = varint(from)? else { break };
        let skipped = match tag & 7 {
            0 => {
                varint(from)?;
                continue;
            }
            1 => 8,
            5 => 4,
            2 => match varint(from)? {
                Some(length) => length,
                None => break,
            },
            // No field of ONNX is a group; what follows is no model.
            _ => break,
        };
        let at = from.stream_position()?;
        let Some(after) = at.checked_add(skipped).filter(|&after| after <= end) else { break };
        match (message, message.inside(tag >> 3)) {
            (_, Some(inside)) if tag & 7 == 2 => {
                let depth = depth.checked_sub(1).ok_or_else(|| odd("graphs within graphs lie too deep"))?;
                walk(from, after, inside, depth, found)?;
            }
            (Message::Entry, _) if tag >> 3 <= 2 => {
                if skipped > NAME {
                    return Err(odd("the name of a file of external data is too long"));
                }
                let text = if tag >> 3 == 1 { &mut key } else { &mut value };
                text.resize(skipped as usize, 0);
                from.read_exact(text)?;
            }
            _ => {}
        }
        let here = from.stream_position()?;
        from.seek_relative(after as i64 - here as i64)?;
    }
    if key == b"location" {
        found.push(String::from_utf8_lossy(&value).into_owned());
    }
    Ok(())
}

/// None where the file ends, or the number does not.
fn varint(from: &mut impl BufRead) -> io::Result<Option<u64>> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let mut byte = [0];
        if let Err(e) = from.read_exact(&mut byte) {
            return if e.kind() == io::ErrorKind::UnexpectedEof { Ok(None) } else { Err(e) };
        }
        value |= u64::from(byte[0] & 127) << shift;
        if byte[0] < 128 {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![number << 3 | 2];
        bytes.extend([content.len() as u8 | 128, (content.len() >> 7) as u8]);
        [&bytes[..], content].concat()
    }

    fn entry(key: &str, value: &str) -> Vec<u8> {
        field(13, &[field(2, value.as_bytes()), field(1, key.as_bytes())].concat())
    }

    fn of(model: &[u8]) -> Vec<String> {
        names(Cursor::new(model), model.len() as u64).unwrap()
    }

    #[test]
    fn names_are_found_wherever_a_tensor_is() {
        let tensor = |name: &str| [vec![0x10, 1], entry("offset", "64"), entry("location", name)].concat();
        let attribute = field(5, &tensor("of-attribute"));
        let branch = field(6, &field(5, &tensor("of-branch")));
        let node = field(1, &[field(5, &attribute), field(5, &branch)].concat());
        let graph = [node, field(5, &tensor("weights.data")), field(5, &tensor("weights.data"))].concat();
        let model = [vec![8, 10], field(2, b"location"), field(7, &graph)].concat();
        assert_eq!(of(&model), ["of-attribute", "of-branch", "weights.data"]);
        assert!(of(&field(8, &graph)).is_empty(), "not of a graph");
        for end in 0..model.len() {
            of(&model[..end]);
        }
        let deep = (0..100).fold(vec![], |inner, _| field(1, &field(5, &field(6, &inner))));
        let deep = field(7, &deep);
        assert!(names(Cursor::new(&deep), deep.len() as u64).is_err());
    }

    #[test]
    fn what_ships_has_none() {
        let model = include_bytes!("probe.onnx");
        assert!(of(model).is_empty());
    }
}
