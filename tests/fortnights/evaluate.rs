//! Evaluates rules over all steps of one line's series at once. A value that is not a number is an absent one.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;

use crate::promql::Expr;

/// Labels other than job, instance, account and line, of which there is one each.
pub(crate) type Labels = BTreeMap<String, String>;
/// A series with a value at each step.
pub(crate) type Values = Rc<Vec<f64>>;
pub(crate) type Vector = Vec<(Labels, Values)>;

/// The series of a line, and the recording rules over them.
pub(crate) struct Line<'a> {
    pub(crate) steps: usize,
    /// Seconds from one step to the next: samples and evaluations.
    pub(crate) step: u32,
    series: HashMap<String, Vector>,
    records: &'a HashMap<String, Expr>,
    known: RefCell<HashMap<String, Rc<Vector>>>,
}

enum Value {
    Scalar(Rc<Vec<f64>>),
    Vector(Vector),
}

const CONSTANT: [&str; 4] = ["job", "instance", "account", "line"];

impl<'a> Line<'a> {
    pub(crate) fn new(
        step: u32,
        series: HashMap<String, Vector>,
        records: &'a HashMap<String, Expr>,
    ) -> Line<'a> {
        let steps = series.values().flatten().map(|(_, values)| values.len()).next().unwrap_or(0);
        Line { steps, step, series, records, known: RefCell::default() }
    }

    /// The vector that an expression gives.
    pub(crate) fn vector(&self, expr: &Expr) -> Vector {
        match self.value(expr) {
            Value::Vector(vector) => vector,
            Value::Scalar(values) => vec![(Labels::new(), values)],
        }
    }

    fn value(&self, expr: &Expr) -> Value {
        match expr {
            Expr::Number(number) => Value::Scalar(Rc::new(vec![*number; self.steps])),
            Expr::Select { range: None, .. } => Value::Vector(self.select(expr)),
            Expr::Select { .. } => panic!("a range outside of a function"),
            Expr::Call { function, arguments } => self.call(function, arguments),
            Expr::Aggregate { operator, by, of } => Value::Vector(self.aggregate(operator, by, of)),
            Expr::Binary { operator, is_bool, left, right } => {
                self.binary(operator, *is_bool, self.value(left), self.value(right))
            }
        }
    }

    /// The samples of a selector, moved by its offset.
    fn select(&self, expr: &Expr) -> Vector {
        let Expr::Select { name, matchers, offset, .. } = expr else { panic!("a selector is needed") };
        let found = self.known.borrow().get(name).cloned();
        let all = found.unwrap_or_else(|| {
            let all = match self.records.get(name) {
                Some(record) => self.vector(record),
                None => self.series.get(name).cloned().unwrap_or_else(|| panic!("no series {name}")),
            };
            let all = Rc::new(all);
            self.known.borrow_mut().insert(name.clone(), Rc::clone(&all));
            all
        });
        let fitting = all.iter().filter(|(labels, _)| matchers.iter().all(|matcher| matcher.fits(labels)));
        let shift = (offset / self.step) as usize;
        let moved = |values: &Values| match shift {
            0 => Rc::clone(values),
            _ => {
                let absent = std::iter::repeat_n(f64::NAN, shift.min(self.steps));
                Rc::new(absent.chain(values.iter().copied()).take(self.steps).collect())
            }
        };
        fitting.map(|(labels, values)| (labels.clone(), moved(values))).collect()
    }

    fn call(&self, function: &str, arguments: &[Expr]) -> Value {
        if function == "histogram_quantile" {
            let Expr::Number(quantile) = arguments[0] else { panic!("a quantile is a number") };
            return Value::Vector(self.quantile(quantile, &self.vector(&arguments[1])));
        }
        if let Expr::Select { range: Some(range), .. } = &arguments[0] {
            let steps = (range / self.step) as usize;
            let over = |values: &Values| match function {
                "min_over_time" => extremes(values, steps, |a, b| a <= b),
                "max_over_time" => extremes(values, steps, |a, b| a >= b),
                "rate" => differences(values, steps, 1.0 / f64::from(*range)),
                "delta" | "increase" => differences(values, steps, 1.0),
                _ => panic!("{function} is not implemented"),
            };
            let all = self.select(&arguments[0]).into_iter();
            return Value::Vector(all.map(|(labels, values)| (labels, Rc::new(over(&values)))).collect());
        }
        assert_eq!(function, "sqrt", "{function} is not implemented");
        let root = |values: Values| Rc::new(values.iter().map(|value| value.sqrt()).collect::<Vec<_>>());
        match self.value(&arguments[0]) {
            Value::Scalar(values) => Value::Scalar(root(values)),
            Value::Vector(all) => {
                Value::Vector(all.into_iter().map(|(labels, values)| (labels, root(values))).collect())
            }
        }
    }

    fn aggregate(&self, operator: &str, by: &[String], of: &Expr) -> Vector {
        let mut groups: BTreeMap<Labels, Vec<f64>> = BTreeMap::new();
        for (labels, values) in self.vector(of) {
            let kept = by.iter().filter(|label| !CONSTANT.contains(&label.as_str()));
            let kept = kept.filter_map(|label| Some((label.clone(), labels.get(label)?.clone()))).collect();
            let group = groups.entry(kept).or_insert_with(|| vec![f64::NAN; self.steps]);
            for (sum, value) in group.iter_mut().zip(values.iter()).filter(|(_, value)| !value.is_nan()) {
                *sum = match operator {
                    _ if sum.is_nan() => *value,
                    "sum" => *sum + value,
                    "max" => sum.max(*value),
                    _ => panic!("{operator} is not implemented"),
                };
            }
        }
        groups.into_iter().map(|(labels, values)| (labels, Rc::new(values))).collect()
    }

    fn quantile(&self, quantile: f64, buckets: &Vector) -> Vector {
        let bound = |labels: &Labels| labels["le"].parse::<f64>().unwrap_or(f64::INFINITY);
        let mut sorted: Vec<(f64, &Values)> =
            buckets.iter().map(|(labels, values)| (bound(labels), values)).collect();
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
        let at = |step: usize| {
            let total = sorted.last().map_or(f64::NAN, |(_, values)| values[step]);
            let rank = quantile * total;
            let found = sorted.iter().position(|(_, values)| values[step] >= rank);
            let Some(found) = found.filter(|_| total > 0.0) else { return f64::NAN };
            if found == sorted.len() - 1 {
                return sorted[found - 1].0;
            }
            let (from, below) =
                if found == 0 { (0.0, 0.0) } else { (sorted[found - 1].0, sorted[found - 1].1[step]) };
            let within = sorted[found].1[step] - below;
            from + (sorted[found].0 - from) * (rank - below) / within
        };
        vec![(Labels::new(), Rc::new((0..self.steps).map(at).collect()))]
    }

    fn binary(&self, operator: &str, is_bool: bool, left: Value, right: Value) -> Value {
        let each = |left: &[f64], right: &[f64], keeps: bool| -> Values {
            Rc::new(left.iter().zip(right).map(|(a, b)| apply(operator, is_bool, *a, *b, keeps)).collect())
        };
        match (left, right) {
            (Value::Scalar(a), Value::Scalar(b)) => Value::Scalar(each(&a, &b, true)),
            (Value::Vector(all), Value::Scalar(b)) => {
                Value::Vector(all.into_iter().map(|(labels, a)| (labels, each(&a, &b, true))).collect())
            }
            (Value::Scalar(a), Value::Vector(all)) => {
                Value::Vector(all.into_iter().map(|(labels, b)| (labels, each(&a, &b, false))).collect())
            }
            (Value::Vector(left), Value::Vector(right)) => {
                Value::Vector(self.matched(operator, left, right, each))
            }
        }
    }

    fn matched(
        &self,
        operator: &str,
        left: Vector,
        right: Vector,
        each: impl Fn(&[f64], &[f64], bool) -> Values,
    ) -> Vector {
        let absent: Values = Rc::new(vec![f64::NAN; self.steps]);
        let of = |vector: &Vector, wanted: &Labels| {
            vector.iter().find(|(labels, _)| labels == wanted).map(|(_, values)| Rc::clone(values))
        };
        let mut result: Vector = Vec::new();
        for (labels, a) in &left {
            let b = of(&right, labels);
            let is_set = matches!(operator, "and" | "or" | "unless");
            match b {
                None if !is_set => {}
                b => result.push((labels.clone(), each(a, &b.unwrap_or_else(|| Rc::clone(&absent)), true))),
            }
        }
        if operator == "or" {
            result.extend(right.into_iter().filter(|(labels, _)| of(&left, labels).is_none()));
        }
        result
    }
}

/// One step of a binary operator. A comparison keeps the left value, or the right one where the left is a scalar.
fn apply(operator: &str, is_bool: bool, a: f64, b: f64, keeps_left: bool) -> f64 {
    let holds = match operator {
        "or" => return if a.is_nan() { b } else { a },
        "and" => return if b.is_nan() { f64::NAN } else { a },
        "unless" => return if b.is_nan() { a } else { f64::NAN },
        _ if a.is_nan() || b.is_nan() => return f64::NAN,
        "+" => return a + b,
        "-" => return a - b,
        "*" => return a * b,
        "/" => return a / b,
        "==" => a == b,
        "!=" => a != b,
        ">" => a > b,
        "<" => a < b,
        ">=" => a >= b,
        "<=" => a <= b,
        _ => panic!("{operator} is not implemented"),
    };
    match (is_bool, holds) {
        (true, holds) => f64::from(u8::from(holds)),
        (false, true) => {
            if keeps_left {
                a
            } else {
                b
            }
        }
        (false, false) => f64::NAN,
    }
}

/// The least or greatest value of each window, whose both ends belong to it.
fn extremes(values: &[f64], window: usize, beats: impl Fn(f64, f64) -> bool) -> Vec<f64> {
    let mut candidates: VecDeque<usize> = VecDeque::new();
    let mut found = Vec::with_capacity(values.len());
    for (step, value) in values.iter().enumerate() {
        if !value.is_nan() {
            while candidates.back().is_some_and(|last| beats(*value, values[*last])) {
                candidates.pop_back();
            }
            candidates.push_back(step);
        }
        while candidates.front().is_some_and(|first| first + window < step) {
            candidates.pop_front();
        }
        found.push(candidates.front().map_or(f64::NAN, |first| values[*first]));
    }
    found
}

/// Newest minus oldest value of each window. Prometheus extrapolates both ends, which changes neither a sign nor a
/// quotient of two; the rules of lines use nothing else of it.
fn differences(values: &[f64], window: usize, factor: f64) -> Vec<f64> {
    let first = values.iter().position(|value| !value.is_nan()).unwrap_or(values.len());
    let difference = |step: usize| {
        let oldest = step.saturating_sub(window).max(first);
        if step <= oldest { f64::NAN } else { (values[step] - values[oldest]) * factor }
    };
    (0..values.len()).map(difference).collect()
}
