//! Shapes: a config or summary without its values.
//!
//! Runs of one program have the same keys in the same order and nesting, so a block tells that once, as an entry of a
//! dictionary, and the values stand in columns. A value that has no place in a column (null, an empty map) is part of
//! the shape.

use super::CellKind;
use super::exact::{Cursor, push_text, too_deep};
use crate::error::Result;
use crate::value::{Json, NESTING_MAX};

/// A nested value whose leaves stand elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// Null itself.
    Null,
    /// A value of a column. At the top, [`CellKind::Nested`] says that the whole value stands in one.
    Leaf(CellKind),
    /// Named members in order.
    Map(Vec<(String, Shape)>),
}

impl Shape {
    /// Returns the shape of a value.
    #[must_use]
    pub fn of(value: &Json) -> Shape {
        match value {
            Json::Null => Shape::Null,
            Json::Bool(_) => Shape::Leaf(CellKind::Bool),
            Json::Int(_) => Shape::Leaf(CellKind::Int),
            Json::Float(_) => Shape::Leaf(CellKind::Float),
            Json::Text(_) => Shape::Leaf(CellKind::Text),
            Json::List(_) => Shape::Leaf(CellKind::Nested),
            Json::Map(members) => {
                Shape::Map(members.iter().map(|(name, member)| (name.clone(), Shape::of(member))).collect())
            }
        }
    }

    /// Returns the text that stands in a block.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        self.push(&mut out);
        out
    }

    fn push(&self, out: &mut String) {
        match self {
            Shape::Null => out.push('n'),
            Shape::Leaf(kind) => out.push(match kind {
                CellKind::Float => 'd',
                CellKind::Int => 'i',
                CellKind::Bool => 'b',
                CellKind::Text => 's',
                CellKind::Nested => 'l',
            }),
            Shape::Map(members) => {
                out.push('m');
                out.push_str(&members.len().to_string());
                out.push(';');
                for (name, member) in members {
                    push_text(name, out);
                    member.push(out);
                }
            }
        }
    }

    /// Reads the text of a shape.
    ///
    /// # Errors
    /// [`crate::FormatError::Malformed`] for text that no writer makes, [`crate::FormatError::Limit`] if it nests too
    /// deep.
    pub fn from_text(text: &str) -> Result<Shape> {
        let mut cursor = Cursor::new("shape", text);
        let shape = Shape::take(&mut cursor, 0)?;
        cursor.finish()?;
        Ok(shape)
    }

    fn take(cursor: &mut Cursor<'_>, depth: usize) -> Result<Shape> {
        if depth > NESTING_MAX {
            return Err(too_deep(depth));
        }
        Ok(match cursor.letter()? {
            'n' => Shape::Null,
            'd' => Shape::Leaf(CellKind::Float),
            'i' => Shape::Leaf(CellKind::Int),
            'b' => Shape::Leaf(CellKind::Bool),
            's' => Shape::Leaf(CellKind::Text),
            'l' => Shape::Leaf(CellKind::Nested),
            'm' => {
                let count = cursor.length()?;
                let members = (0..count).map(|_| Ok((cursor.text()?.to_owned(), Shape::take(cursor, depth + 1)?)));
                Shape::Map(members.collect::<Result<_>>()?)
            }
            _ => return Err(cursor.malformed()),
        })
    }

    /// Calls `each` with the column name and kind of every leaf, in order. The name is the path, its members joined by
    /// dots; a dot or backslash inside a member's name has a backslash before it.
    pub fn leaves(&self, each: &mut impl FnMut(&str, CellKind)) {
        self.walk(&mut String::new(), each);
    }

    fn walk(&self, path: &mut String, each: &mut impl FnMut(&str, CellKind)) {
        match self {
            Shape::Null => {}
            Shape::Leaf(kind) => each(path, *kind),
            Shape::Map(members) => {
                for (name, member) in members {
                    let before = path.len();
                    push_segment(path, name);
                    member.walk(path, each);
                    path.truncate(before);
                }
            }
        }
    }

    /// Returns the member `name` of a map with its column name, given the column name of the map.
    fn get(&self, path: &str, name: &str) -> Option<(String, &Shape)> {
        let Shape::Map(members) = self else { return None };
        let (_, member) = members.iter().find(|(known, _)| known == name)?;
        let mut path = path.to_owned();
        push_segment(&mut path, name);
        Some((path, member))
    }

    /// Returns what stands at a dotted path with its column name; [`Json::at`] on the value whose shape this is.
    #[must_use]
    pub fn at(&self, path: &str) -> Option<(String, &Shape)> {
        self.at_below("", path)
    }

    fn at_below(&self, above: &str, path: &str) -> Option<(String, &Shape)> {
        if let Some(found) = self.get(above, path) {
            return Some(found);
        }
        path.match_indices('.').find_map(|(dot, _)| {
            let (head, tail) = path.split_at(dot);
            let (above, member) = self.get(above, head)?;
            member.at_below(&above, tail.get(1..)?)
        })
    }

    /// Builds a value of this shape from its leaves, which `next` gives in order.
    pub fn fill(&self, next: &mut impl FnMut() -> Option<Json>) -> Option<Json> {
        Some(match self {
            Shape::Null => Json::Null,
            Shape::Leaf(_) => next()?,
            Shape::Map(members) => {
                let filled = members.iter().map(|(name, member)| Some((name.clone(), member.fill(next)?)));
                Json::Map(filled.collect::<Option<_>>()?)
            }
        })
    }
}

/// Returns the column name of a top-level member.
#[must_use]
pub fn leaf_name(member: &str) -> String {
    let mut path = String::with_capacity(member.len() + 1);
    push_segment(&mut path, member);
    path
}

/// Returns the top-level member that a column name is of; none if it is of something deeper, or of the whole.
#[must_use]
pub fn leaf_member(column: &str) -> Option<String> {
    let (mut member, mut letters) = (String::new(), column.strip_prefix('.')?.chars());
    while let Some(letter) = letters.next() {
        match letter {
            '.' => return None,
            '\\' => member.push(letters.next()?),
            letter => member.push(letter),
        }
    }
    Some(member)
}

/// Appends a member's name to a path. A path of one empty name is told from the path of the whole by its dot.
fn push_segment(path: &mut String, name: &str) {
    path.push('.');
    for letter in name.chars() {
        if matches!(letter, '.' | '\\') {
            path.push('\\');
        }
        path.push(letter);
    }
}
