//! The import graph of the modules has no cycles.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::architecture::sources;
use super::prose::files;
use crate::support::in_repository;

type Module = Vec<String>;
type Graph = BTreeMap<Module, BTreeSet<Module>>;

/// The module of a file: `a/b.rs` and `a/b/mod.rs` are both `a::b`.
fn module_of(root: &Path, file: &Path) -> Module {
    let path = file.strip_prefix(root).unwrap().with_extension("");
    let mut parts: Module = path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if parts.last().is_some_and(|last| last == "mod" || last == "lib") {
        parts.pop();
    }
    parts
}

/// The code of a file without comments and without the tests at its end.
fn code(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    let code = text.split("\n#[cfg(test)]\nmod ").next().unwrap();
    code.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// The paths that a tree of imports stands for: `a::{b, c::{d, e}}` is three.
fn expand(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((prefix, rest)) = tree.split_once('{') else {
        return vec![tree.split(" as ").next().unwrap().trim().to_owned()];
    };
    let inner = rest.rsplit_once('}').map_or(rest, |(inner, _)| inner);
    let (mut depth, mut parts) = (0, vec![String::new()]);
    for c in inner.chars() {
        match c {
            ',' if depth == 0 => parts.push(String::new()),
            c => {
                depth += i32::from(c == '{') - i32::from(c == '}');
                parts.last_mut().unwrap().push(c);
            }
        }
    }
    let parts = parts.iter().filter(|part| !part.trim().is_empty());
    parts.flat_map(|part| expand(part)).map(|path| format!("{prefix}{path}")).collect()
}

/// The paths in a text that begin with `crate`, `super` or `self`, and those of its imports.
fn paths(code: &str) -> Vec<String> {
    let mut rest = String::new();
    let mut found = Vec::new();
    for (n, part) in code.split("use ").enumerate() {
        let Some((tree, after)) = part.split_once(';').filter(|_| n > 0) else {
            rest.push_str(part);
            continue;
        };
        found.extend(expand(tree));
        rest.push_str(after);
    }
    let words = rest.split(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | ':'));
    found.extend(words.filter(|word| word.contains("::")).map(str::to_owned));
    found
}

/// The module that a path leads to from a module: the deepest one there is on the way.
fn resolved(path: &str, from: &Module, all: &BTreeSet<Module>) -> Option<Module> {
    let mut names: Vec<&str> = path.split("::").map(str::trim).collect();
    let mut at = from.clone();
    match names[0] {
        "crate" => at.clear(),
        "self" => {}
        "super" => {
            while names.first() == Some(&"super") {
                at.pop()?;
                names.remove(0);
            }
            names.insert(0, "");
        }
        _ if all.contains(&[from.clone(), vec![names[0].to_owned()]].concat()) => names.insert(0, ""),
        _ => return None,
    }
    for name in &names[1..] {
        at.push((*name).to_owned());
        if !all.contains(&at) {
            at.pop();
            break;
        }
    }
    Some(at).filter(|module| module != from)
}

/// What each module imports. A module that contains the importing one is left out: it hands out what is below it, and so
/// is imported by what it contains.
fn graph(root: &Path) -> Graph {
    let mut files = Vec::new();
    sources(root, &mut files);
    files.retain(|file| {
        !file.file_name().unwrap().to_string_lossy().starts_with("tests") && !file.ends_with("main.rs")
    });
    let modules: BTreeMap<Module, _> = files.iter().map(|file| (module_of(root, file), file)).collect();
    let all: BTreeSet<Module> = modules.keys().cloned().collect();
    let imports = |module: &Module, file: &Path| {
        let resolved = paths(&code(file)).into_iter().filter_map(|path| resolved(&path, module, &all));
        resolved.filter(|other| !module.starts_with(other)).collect()
    };
    modules.iter().map(|(module, file)| (module.clone(), imports(module, file))).collect()
}

/// What each Python module of a package imports from the package.
fn python_graph(package: &str) -> Graph {
    let root = in_repository("");
    let mut found = Vec::new();
    files(&root.join(package), &[".py"], &mut found);
    let texts: BTreeMap<Module, String> = found
        .iter()
        .map(|file| {
            let mut module = module_of(&root, file);
            if module.last().is_some_and(|name| name == "__init__") {
                module.pop();
            }
            (module, std::fs::read_to_string(file).unwrap())
        })
        .collect();
    let imports = |module: &Module, text: &str| {
        let names = text.lines().filter_map(|line| line.trim_start().strip_prefix("from "));
        let named = names.filter_map(|line| line.split_once(" import ")).flat_map(|(from, names)| {
            let from: Module = from.split('.').map(str::to_owned).collect();
            names.split(',').map(move |name| [from.clone(), vec![name.trim().to_owned()]].concat())
        });
        named
            .filter_map(|path| (1..=path.len()).rev().find_map(|n| texts.get_key_value(&path[..n])))
            .map(|(other, _)| other.clone())
            .filter(|other| other != module && !module.starts_with(other))
            .collect()
    };
    texts.iter().map(|(module, text)| (module.clone(), imports(module, text))).collect()
}

/// The same between the modules of one depth.
fn of_folders(graph: &Graph, depth: usize) -> Graph {
    let mut folders = Graph::new();
    for (module, imported) in graph.iter().filter(|(module, _)| module.len() >= depth) {
        let own = module[..depth].to_vec();
        let others =
            imported.iter().filter(|other| other.len() >= depth).map(|other| other[..depth].to_vec());
        folders.entry(own.clone()).or_default().extend(others.filter(|other| *other != own));
    }
    folders
}

/// Modules that reach themselves.
fn cyclic(graph: &Graph) -> BTreeSet<String> {
    let reaches_itself = |start: &Module| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![start]);
        while let Some(module) = open.pop() {
            for next in graph.get(module).into_iter().flatten() {
                if next == start {
                    return true;
                }
                if seen.insert(next) {
                    open.push(next);
                }
            }
        }
        false
    };
    graph.keys().filter(|module| reaches_itself(module)).map(|module| module.join("::")).collect()
}

#[test]
fn modules_do_not_import_each_other_in_circles() {
    for root in ["src", "crates/exporter-web/src", "crates/blooio-simulator/src"] {
        let graph = graph(&in_repository(root));
        assert!(
            graph.len() > 10 && graph.values().map(BTreeSet::len).sum::<usize>() > 20,
            "{root}: {graph:?}"
        );
        assert_eq!(cyclic(&of_folders(&graph, 1)), BTreeSet::new(), "{root}: modules import each other");
        assert_eq!(
            cyclic(&graph),
            BTreeSet::new(),
            "{root}: files import each other, directly or through others"
        );
    }
}

#[test]
fn python_modules_do_not_import_each_other_in_circles() {
    let graph = python_graph("mixin");
    let imports = graph.values().map(BTreeSet::len).sum::<usize>();
    assert!(graph.len() > 20 && imports > 40, "{imports} imports: {graph:?}");
    assert_eq!(cyclic(&of_folders(&graph, 2)), BTreeSet::new(), "folders import each other");
    assert_eq!(cyclic(&graph), BTreeSet::new(), "files import each other, directly or through others");
}

#[test]
fn a_circle_is_found() {
    let tree = expand("super::{a::{B, C}, d as e}");
    assert_eq!(tree, ["super::a::B", "super::a::C", "super::d"]);
    let all: BTreeSet<Module> =
        [&["x", "a"][..], &["x", "b"]].map(|path| path.iter().map(|&name| name.to_owned()).collect()).into();
    let [a, b]: [Module; 2] = all.iter().cloned().collect::<Vec<_>>().try_into().unwrap();
    assert_eq!(resolved("super::b::Thing", &a, &all), Some(b.clone()));
    let one_way = Graph::from([(a.clone(), [b.clone()].into()), (b.clone(), BTreeSet::new())]);
    assert!(cyclic(&one_way).is_empty());
    let both = Graph::from([(a.clone(), [b.clone()].into()), (b, [a].into())]);
    assert_eq!(cyclic(&both).len(), 2);
}
