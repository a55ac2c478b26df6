//! Builds a condition from the tokens of a filter, by recursive descent.

use super::eval::{Expr, Literal, Relation, Test};
use super::field::{AT_BEST, Statistic, unknown_field};
use super::lex::{self, Kind, Token};
use super::like::Pattern;
use super::{FILTER_BYTES_MAX, FILTER_DEPTH_MAX, FILTER_LIST_MAX, Field, FilterError, quote, time};

/// Reads a filter; returns its condition and the fields that this reads, each once.
///
/// # Errors
/// The first thing that is not understood, or beyond a limit. What is wrong with single tokens is found first.
pub(super) fn parse(text: &str) -> Result<(Expr, Vec<Field>), FilterError> {
    if text.len() > FILTER_BYTES_MAX {
        let fitting = text.char_indices().take_while(|(start, c)| start + c.len_utf8() <= FILTER_BYTES_MAX).count();
        return Err(FilterError::at(fitting, format!("the filter is longer than {FILTER_BYTES_MAX} bytes")));
    }
    let tokens = lex::lex(text)?;
    let mut parser = Parser { text, tokens: &tokens, at: 0, fields: Vec::new() };
    if tokens.is_empty() {
        return Ok((Expr::All(Vec::new()), Vec::new()));
    }
    let root = parser.any(0)?;
    if parser.peek().is_some() {
        return Err(parser.expected("\"and\" or \"or\""));
    }
    Ok((root, parser.fields))
}

/// Reads one field.
///
/// # Errors
/// As [`parse`].
pub(super) fn field(text: &str) -> Result<Field, FilterError> {
    let tokens = lex::lex(text)?;
    let mut parser = Parser { text, tokens: &tokens, at: 0, fields: Vec::new() };
    let (field, _) = parser.field("a field")?;
    match parser.peek() {
        None => Ok(field),
        Some(_) => Err(parser.expected("nothing more")),
    }
}

/// Parts a list at its commas, but not inside quotes or parentheses; each part with the index of its first character.
pub(crate) fn split_list(text: &str) -> Vec<(usize, &str)> {
    let (mut parts, mut start, mut first) = (Vec::new(), 0, 0);
    let (mut quote, mut depth, mut escaped) = (None, 0_usize, false);
    for (index, (at, c)) in text.char_indices().enumerate() {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(mark), _) if c == mark => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') => depth = depth.saturating_sub(1),
            (None, ',') if depth == 0 => {
                parts.push((first, &text[start..at]));
                (start, first) = (at + 1, index + 1);
            }
            _ => {}
        }
    }
    parts.push((first, &text[start..]));
    parts
}

struct Parser<'a> {
    text: &'a str,
    tokens: &'a [Token],
    at: usize,
    fields: Vec<Field>,
}

impl<'a> Parser<'a> {
    /// Conditions joined by `or`.
    fn any(&mut self, depth: usize) -> Result<Expr, FilterError> {
        let first = self.all(depth)?;
        let mut parts = vec![first];
        while self.eat_keyword("or") {
            parts.push(self.all(depth)?);
        }
        Ok(one_or(parts, Expr::Any))
    }

    /// Conditions joined by `and`.
    fn all(&mut self, depth: usize) -> Result<Expr, FilterError> {
        let first = self.unary(depth)?;
        let mut parts = vec![first];
        while self.eat_keyword("and") {
            parts.push(self.unary(depth)?);
        }
        Ok(one_or(parts, Expr::All))
    }

    /// A condition with `not` before it, one in parentheses, or a comparison.
    fn unary(&mut self, depth: usize) -> Result<Expr, FilterError> {
        let start = self.start();
        if self.eat_keyword("not") {
            let inner = self.unary(deeper(depth, start)?)?;
            return Ok(Expr::Not(Box::new(inner)));
        }
        if !self.eat(&Kind::Open('(')) {
            return self.comparison();
        }
        let inner = self.any(deeper(depth, start)?)?;
        if self.eat(&Kind::Close(')')) {
            return Ok(inner);
        }
        Err(match self.peek() {
            Some(_) => self.expected("\"and\", \"or\" or \")\""),
            None => FilterError::at(start, "unclosed \"(\""),
        })
    }

    fn comparison(&mut self) -> Result<Expr, FilterError> {
        if self.eat_keyword("exists") {
            return Ok(Expr::Test(self.field("a field")?.1, Test::Exists));
        }
        let start = self.start();
        if let Some(literal) = self.eat_literal() {
            if literal == Literal::Null {
                return Err(FilterError::at(start, "null is in no list (write FIELD = null)"));
            }
            let negated = self.eat_keyword("not");
            if !self.eat_keyword("in") {
                return Err(self.expected("\"in\" and a field"));
            }
            return Ok(Expr::Test(self.field("a field")?.1, Test::Holds { literal, negated }));
        }
        let (field, number) = self.field("a field")?;
        let negated = self.eat_keyword("not");
        if self.eat_keyword("exists") {
            let test = Expr::Test(number, Test::Exists);
            return Ok(if negated { Expr::Not(Box::new(test)) } else { test });
        }
        if self.eat_keyword("in") {
            let literals = self.list(&field)?;
            return Ok(Expr::Test(number, Test::In { literals, negated }));
        }
        if self.eat_keyword("like") {
            let pattern = self.pattern()?;
            return Ok(Expr::Test(number, Test::Like { pattern, negated }));
        }
        match self.peek() {
            Some(&Token { kind: Kind::Relation(relation), .. }) if !negated => {
                self.at += 1;
                let literal = self.operand(&field, relation)?;
                Ok(Expr::Test(number, Test::Compare(relation, literal)))
            }
            _ if negated => Err(self.expected("\"in\", \"like\" or \"exists\"")),
            // Alone it asks whether it is true, which the fields of a run itself never are.
            _ if matches!(field, Field::Config(_) | Field::Summary(_)) && self.ends() => {
                Ok(Expr::Test(number, Test::Compare(Relation::Equal, Literal::Bool(true))))
            }
            _ => Err(self.expected("an operator")),
        }
    }

    /// The value right of a comparison operator.
    fn operand(&mut self, field: &Field, relation: Relation) -> Result<Literal, FilterError> {
        let start = self.start();
        let literal = self.value(field)?;
        if literal == Literal::Null && !matches!(relation, Relation::Equal | Relation::NotEqual) {
            return Err(FilterError::at(start, "null compares only with \"=\" and \"!=\""));
        }
        Ok(literal)
    }

    /// The values right of `in`.
    fn list(&mut self, field: &Field) -> Result<Vec<Literal>, FilterError> {
        let start = self.start();
        let (open, close) = match self.peek() {
            Some(Token { kind: Kind::Open('('), .. }) => ("(", ')'),
            Some(Token { kind: Kind::Open(_), .. }) => ("[", ']'),
            _ => return Err(self.expected("a list such as ('a', 'b')")),
        };
        self.at += 1;
        let mut literals = Vec::new();
        loop {
            if literals.len() == FILTER_LIST_MAX {
                return Err(FilterError::at(self.start(), format!("more than {FILTER_LIST_MAX} values in a list")));
            }
            literals.push(self.value(field)?);
            if self.eat(&Kind::Close(close)) {
                return Ok(literals);
            }
            if !self.eat(&Kind::Comma) {
                return Err(match self.peek() {
                    Some(_) => self.expected(&format!("\",\" or \"{close}\"")),
                    None => FilterError::at(start, format!("unclosed \"{open}\"")),
                });
            }
        }
    }

    fn pattern(&mut self) -> Result<Pattern, FilterError> {
        match self.peek() {
            Some(Token { kind: Kind::Text { text, escaped }, .. }) => {
                self.at += 1;
                Ok(Pattern::new(text, escaped))
            }
            _ => Err(self.expected("a text in quotes")),
        }
    }

    /// A field, and its number among those of the filter.
    fn field(&mut self, what: &str) -> Result<(Field, usize), FilterError> {
        const KEYWORDS: [&str; 9] = ["and", "or", "not", "in", "like", "exists", "true", "false", "null"];
        let Some(Token { kind: Kind::Name(segments), start, .. }) = self.peek() else {
            return Err(self.expected(what));
        };
        let function = match segments.as_slice() {
            [name] if self.tokens.get(self.at + 1).is_some_and(|next| next.kind == Kind::Open('(')) => Some(name),
            _ => None,
        };
        let field = match function {
            Some(name) if name == AT_BEST => {
                let metric = self.argument()?;
                let Some(Token { kind: Kind::Tail(key), .. }) = self.peek() else {
                    return Err(self.expected("\".\" and the metric to read there"));
                };
                self.at += 1;
                Field::AtBest(metric, key.join("."))
            }
            Some(name) if let Some(statistic) = Statistic::named(name) => Field::Statistic(statistic, self.argument()?),
            _ => {
                let Some(field) = Field::from_segments(segments) else {
                    if KEYWORDS.iter().any(|keyword| self.at_keyword(keyword)) {
                        return Err(self.expected(what));
                    }
                    return Err(FilterError::at(*start, unknown_field(segments)));
                };
                self.at += 1;
                field
            }
        };
        let number = match self.fields.iter().position(|known| *known == field) {
            Some(number) => number,
            None => {
                self.fields.push(field.clone());
                self.fields.len() - 1
            }
        };
        Ok((field, number))
    }

    /// The metric of a function, whose name is the next token.
    fn argument(&mut self) -> Result<String, FilterError> {
        self.at += 2;
        let metric = match self.peek().map(|token| &token.kind) {
            Some(Kind::Name(segments)) => segments.join("."),
            Some(Kind::Text { text, .. }) => text.clone(),
            _ => return Err(self.expected("a metric")),
        };
        self.at += 1;
        if self.eat(&Kind::Close(')')) { Ok(metric) } else { Err(self.expected("\")\"")) }
    }

    /// Returns whether a comparison may end here.
    fn ends(&self) -> bool {
        match self.peek().map(|token| &token.kind) {
            None | Some(Kind::Close(_)) => true,
            _ => self.at_keyword("and") || self.at_keyword("or"),
        }
    }

    /// A value to compare this field with; a text becomes a time if the field holds one.
    fn value(&mut self, field: &Field) -> Result<Literal, FilterError> {
        let start = self.start();
        let is_time = matches!(field, Field::Created | Field::Finished);
        if is_time && let Some(secs) = self.eat_now() {
            return Ok(Literal::Seconds(secs));
        }
        let date = match self.peek() {
            Some(Token { kind: Kind::Date(text), .. }) if !is_time => {
                let message = format!("{} is a date: only created and finished compare with one", quote(text));
                return Err(FilterError::at(start, message));
            }
            Some(Token { kind: Kind::Date(text), .. }) => {
                self.at += 1;
                Some(Literal::Text(text.clone()))
            }
            _ => None,
        };
        match date.or_else(|| self.eat_literal()) {
            Some(Literal::Text(text)) if is_time => match time::parse(&text) {
                Ok(time_us) => Ok(Literal::Time(time_us)),
                Err(reason) => Err(FilterError::at(start, format!("{} is not a date: {reason}", quote(&text)))),
            },
            Some(literal) => Ok(literal),
            None => {
                let mut error = self.expected("a value");
                if let Some(Token { kind: Kind::Name(_), .. }) = self.peek() {
                    error.message.push_str(" (text is quoted)");
                }
                Err(error)
            }
        }
    }

    /// Takes `now`, or `now` and a duration such as `now-2h30m` or `now +1h`.
    fn eat_now(&mut self) -> Option<f64> {
        let Some(Token { kind: Kind::Name(segments), .. }) = self.peek() else { return None };
        let [name] = segments.as_slice() else { return None };
        let rest = name.strip_prefix("now")?;
        if !rest.is_empty() {
            let secs = lex::read_duration(rest).filter(|_| rest.starts_with('-'))?;
            self.at += 1;
            return Some(secs);
        }
        self.at += 1;
        match self.peek() {
            Some(&Token { kind: Kind::Seconds(secs), .. }) => {
                self.at += 1;
                Some(secs)
            }
            _ => Some(0.0),
        }
    }

    fn eat_literal(&mut self) -> Option<Literal> {
        let literal = match &self.peek()?.kind {
            Kind::Text { text, .. } => Literal::Text(text.clone()),
            Kind::Int(value) => Literal::Int(*value),
            Kind::Float(value) => Literal::Float(*value),
            Kind::Seconds(value) => Literal::Seconds(*value),
            Kind::Name(_) if self.at_keyword("true") => Literal::Bool(true),
            Kind::Name(_) if self.at_keyword("false") => Literal::Bool(false),
            Kind::Name(_) if self.at_keyword("null") => Literal::Null,
            _ => return None,
        };
        self.at += 1;
        Some(literal)
    }

    fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at)
    }

    fn at_keyword(&self, keyword: &str) -> bool {
        match self.peek() {
            Some(Token { kind: Kind::Name(segments), .. }) => match segments.as_slice() {
                [name] => name.eq_ignore_ascii_case(keyword),
                _ => false,
            },
            _ => false,
        }
    }

    fn eat_keyword(&mut self, keyword: &str) -> bool {
        let found = self.at_keyword(keyword);
        self.at += usize::from(found);
        found
    }

    fn eat(&mut self, kind: &Kind) -> bool {
        let found = self.peek().is_some_and(|token| token.kind == *kind);
        self.at += usize::from(found);
        found
    }

    /// Returns the index of the next token's first character, or of what follows the last token.
    fn start(&self) -> usize {
        match self.peek() {
            Some(token) => token.start,
            None => self.tokens.last().map_or(0, |token| token.end),
        }
    }

    /// Says that something else than the next token was expected.
    fn expected(&self, what: &str) -> FilterError {
        let mut message = format!("expected {what}");
        let previous = self.at.checked_sub(1).and_then(|at| self.tokens.get(at));
        for (word, token) in [(" after ", previous), (", found ", self.peek())] {
            let Some(token) = token else { continue };
            message.push_str(word);
            match &token.kind {
                Kind::Text { text, .. } => message.push_str(&format!("the text {}", quote(text))),
                _ => {
                    let source: String = self.text.chars().take(token.end).skip(token.start).collect();
                    message.push_str(&quote(&source));
                }
            }
        }
        FilterError::at(self.start(), message)
    }
}

fn one_or(mut parts: Vec<Expr>, join: impl FnOnce(Vec<Expr>) -> Expr) -> Expr {
    match (parts.pop(), parts.is_empty()) {
        (Some(only), true) => only,
        (last, _) => {
            parts.extend(last);
            join(parts)
        }
    }
}

fn deeper(depth: usize, start: usize) -> Result<usize, FilterError> {
    if depth == FILTER_DEPTH_MAX {
        return Err(FilterError::at(start, format!("nested deeper than {FILTER_DEPTH_MAX}")));
    }
    Ok(depth + 1)
}
