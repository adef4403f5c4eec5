//! As much of PromQL as the rules of lines use.

use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expr {
    Number(f64),
    /// A selector. Range and offset in seconds.
    Select {
        name: String,
        matchers: Vec<Matcher>,
        range: Option<u32>,
        offset: u32,
    },
    Call {
        function: String,
        arguments: Vec<Expr>,
    },
    Aggregate {
        operator: String,
        by: Vec<String>,
        of: Box<Expr>,
    },
    Binary {
        operator: String,
        is_bool: bool,
        left: Box<Expr>,
        right: Box<Expr>,
    },
}

/// One condition on a label.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Matcher {
    pub(crate) label: String,
    pub(crate) operator: String,
    /// The value, or the alternatives of a regular expression that consists of nothing else.
    pub(crate) values: Vec<String>,
}

impl Matcher {
    pub(crate) fn fits(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.label).map_or("", String::as_str);
        let is_one = self.values.iter().any(|wanted| wanted == value);
        self.operator.starts_with('!') != is_one
    }
}

/// Operators from the loosest to the tightest.
const LEVELS: [&[&str]; 5] =
    [&["or"], &["and", "unless"], &["==", "!=", ">", "<", ">=", "<="], &["+", "-"], &["*", "/"]];

pub(crate) fn parse(text: &str) -> Expr {
    let mut parser = Parser { tokens: tokens(text), at: 0 };
    let expr = parser.binary(0);
    assert_eq!(parser.at, parser.tokens.len(), "not read to its end: {text}");
    expr
}

fn tokens(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '.');
        let length = if let Some(string) = rest.strip_prefix('"') {
            2 + string.find('"').unwrap()
        } else if rest.starts_with(is_word) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else {
            let two = ["==", "!=", ">=", "<=", "=~", "!~"].iter().any(|operator| rest.starts_with(operator));
            1 + usize::from(two)
        };
        found.push(rest[..length].to_owned());
        rest = rest[length..].trim_start();
    }
    found
}

/// Seconds of `1h`, `90m`, `1d`, `1w`.
pub(crate) fn seconds(text: &str) -> u32 {
    let (number, unit) = text.split_at(text.len() - 1);
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => panic!("not a duration: {text}"),
    };
    number.parse::<u32>().unwrap() * unit
}

struct Parser {
    tokens: Vec<String>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> &str {
        self.tokens.get(self.at).map_or("", String::as_str)
    }

    fn next(&mut self) -> String {
        self.at += 1;
        self.tokens[self.at - 1].clone()
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.peek() == token;
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, token: &str) {
        assert!(self.take(token), "{token} expected at {:?}", &self.tokens[self.at..]);
    }

    fn binary(&mut self, level: usize) -> Expr {
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1);
        while operators.contains(&self.peek()) {
            let operator = self.next();
            let is_bool = self.take("bool");
            assert!(!matches!(self.peek(), "on" | "ignoring"), "matching on labels is not implemented");
            let right = Box::new(self.binary(level + 1));
            left = Expr::Binary { operator, is_bool, left: Box::new(left), right };
        }
        left
    }

    fn unary(&mut self) -> Expr {
        if self.take("(") {
            let inner = self.binary(0);
            self.expect(")");
            return inner;
        }
        let word = self.next();
        if let Ok(number) = word.parse() {
            return Expr::Number(number);
        }
        if ["sum", "max", "min", "count", "group"].contains(&word.as_str()) {
            return self.aggregate(word);
        }
        if self.take("(") {
            let mut arguments = Vec::new();
            while !self.take(")") {
                arguments.push(self.binary(0));
                self.take(",");
            }
            return Expr::Call { function: word, arguments };
        }
        self.select(word)
    }

    fn aggregate(&mut self, operator: String) -> Expr {
        self.expect("by");
        self.expect("(");
        let mut by = Vec::new();
        while !self.take(")") {
            by.push(self.next());
            self.take(",");
        }
        self.expect("(");
        let of = Box::new(self.binary(0));
        self.expect(")");
        Expr::Aggregate { operator, by, of }
    }

    fn select(&mut self, name: String) -> Expr {
        let mut matchers = Vec::new();
        if self.take("{") {
            while !self.take("}") {
                let (label, operator, value) = (self.next(), self.next(), self.next());
                let values = value.trim_matches('"').replace("[.]", ".");
                let values = if operator.ends_with('~') {
                    values.split('|').map(str::to_owned).collect()
                } else {
                    vec![values]
                };
                matchers.push(Matcher { label, operator, values });
                self.take(",");
            }
        }
        let range = self.take("[").then(|| {
            let range = seconds(&self.next());
            self.expect("]");
            range
        });
        let offset = if self.take("offset") { seconds(&self.next()) } else { 0 };
        Expr::Select { name, matchers, range, offset }
    }
}

#[test]
fn expressions_are_read_with_their_precedence() {
    let select = |name: &str| Expr::Select { name: name.into(), matchers: vec![], range: None, offset: 0 };
    let binary = |left, operator: &str, right| Expr::Binary {
        operator: operator.into(),
        is_bool: false,
        left: Box::new(left),
        right: Box::new(right),
    };
    let read = parse("a + b * c > 2 and d unless e or f");
    let sum = binary(select("a"), "+", binary(select("b"), "*", select("c")));
    let both = binary(binary(sum, ">", Expr::Number(2.0)), "and", select("d"));
    assert_eq!(read, binary(binary(both, "unless", select("e")), "or", select("f")));
    let Expr::Select { matchers, range, offset, .. } = parse(r#"x{p=~"4|5plus",q!="r"}[2h] offset 1d"#)
    else {
        panic!("a selector");
    };
    assert_eq!((range, offset, matchers[0].values.len()), (Some(7_200), 86_400, 2));
    let labels = |p: &str, q: &str| [("p".to_owned(), p.to_owned()), ("q".to_owned(), q.to_owned())].into();
    assert!(matchers.iter().all(|m| m.fits(&labels("4", "s"))));
    assert!(
        !matchers.iter().all(|m| m.fits(&labels("3", "s")))
            && !matchers.iter().all(|m| m.fits(&labels("4", "r")))
    );
}
