//! Expressions that are more than a path: compiled with jaq, run under the meter.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;

use jaq_core::load::parse::{Def, Term};
use jaq_core::load::{Arena, File, Loader};
use jaq_core::native::Fun;
use jaq_core::{Compiler, Ctx, Error, Filter, Vars};
use jaq_json::Val;

use crate::core::jq::fault;
use crate::core::jq::guard::{Guard, MAIN};
use crate::core::jq::meter::{self, Meter, Run};
use crate::core::jq::problem::{self, JqProblem};
use crate::core::json::{JsonFault, Value, null};

/// What jq has and jaq's library has not, or not within bounds: its `sub` keeps every intermediate text.
const OWN_DEFINITIONS: &str = r#"
    def IN(s): any(s == .; .);
    def IN(src; s): any(src == s; .);
    def INDEX(stream; f):
        reduce stream as $row ({}; ($row | f | tostring) as $name | .[$name] = $row);
    def INDEX(f): INDEX(.[]; f);
    def combinations($n): [range($n) as $i | .] | combinations;
    def sub(re; f; flags): [
        split_matches(re; flags)[]
        | if isarray then first(capture_of_match | f) end
        | if isstring then . else error end
    ] | join("");
    def leaf_paths: paths(scalars);
    def toarray: if isarray then . else [.] end;
    def trimstr($x): ltrimstr($x) | rtrimstr($x);
"#;

/// Definitions of jaq's library that can build much more than they are given: they run under the meter.
const METERED: &[&str] = &["transpose", "combinations", "getpath", "pick"];
/// Filters of jaq's library that ones written in Rust stand in for, by name and number of arguments.
const REPLACED: &[(&str, usize)] = &[("join", 1), ("flatten", 0), ("flatten", 1), ("recurse", 0)];

/// One definition of the library, and what it calls.
struct Entry {
    definition: Def<&'static str>,
    calls: BTreeSet<&'static str>,
}

static LIBRARY: LazyLock<Vec<Entry>> = LazyLock::new(library);

fn library() -> Vec<Entry> {
    let signature = |entry: &Def<&'static str>| (entry.name, entry.args.len());
    let mut own = jaq_core::load::parse(OWN_DEFINITIONS, |parser| parser.defs())
        .expect("our definitions are jq");
    let mut library = Vec::new();
    for theirs in jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs()) {
        let (name, arguments) = signature(&theirs);
        // Ours take the place of theirs, because definitions see only what stands before them.
        if let Some(at) = own.iter().position(|own| signature(own) == (name, arguments)) {
            library.push((true, own.remove(at)));
        } else if !REPLACED.contains(&(name, arguments))
            && problem::refusal(name, arguments).is_none()
        {
            library.push((METERED.contains(&name), theirs));
        }
    }
    library.extend(own.into_iter().map(|own| (true, own)));
    let guarded = library.into_iter().map(|(is_metered, Def { name, args, body })| {
        let mut guard = Guard::of_library(is_metered);
        let body = guard.term(body).expect("nothing in the library is refused");
        Entry { definition: Def { name, args, body }, calls: guard.calls }
    });
    guarded.collect()
}

/// Every filter that is written in Rust.
fn natives() -> impl Iterator<Item = Fun<Run>> {
    let of_jaq = jaq_core::funs::<Run>().chain(jaq_std::funs()).chain(jaq_json::funs());
    let of_jaq = of_jaq.filter(|(name, arguments, _)| {
        *name != "fromjson" && problem::refusal(name, arguments.len()).is_none()
    });
    meter::filters().chain(of_jaq)
}

/// A compiled expression.
pub(super) struct Program {
    filter: Filter<Run>,
}

impl Program {
    /// Guards and compiles a syntax tree. Only what it calls of the library is compiled with it.
    pub(super) fn compile<'s>(
        text: &'s str,
        term: Term<&'s str>,
        guard: &mut Guard<'s>,
    ) -> Result<Self, JqProblem> {
        let body = guard.whole(term)?;
        let called = closure(std::mem::take(&mut guard.calls));
        let library = LIBRARY
            .iter()
            .filter(|entry| called.contains(entry.definition.name))
            .map(|entry| entry.definition.clone());
        // The guarded tree takes the place of a definition, because only those can be handed over as trees.
        let main = Def { name: MAIN, args: Vec::new(), body };
        let definitions: Vec<Def<&str>> = library.chain([main]).collect();
        let natives = natives().filter(|(name, ..)| name.starts_with('!') || called.contains(name));
        let arena = Arena::default();
        let modules = Loader::new(definitions)
            .load(&arena, File { code: MAIN, path: () })
            .map_err(|_| JqProblem::new(0..text.len(), "this is no jq"))?;
        let filter = Compiler::default().with_funs(natives).compile(modules).map_err(|errors| {
            let first = errors.iter().flat_map(|(_, errors)| errors).next();
            match first {
                Some((name, undefined)) if is_part(text, name) => {
                    problem::of_compiler(text, name, undefined, &arities(name))
                }
                _ => JqProblem::new(0..text.len(), "this does not compile"),
            }
        })?;
        Ok(Self { filter })
    }

    /// Hands each output to `take`, until that says it has enough or something fails. `text` is the expression's own:
    /// only words that stand in it are repeated in a fault, because everything else may be somebody's content.
    pub(super) fn run(
        &self,
        text: &str,
        input: &Value,
        take: &mut dyn FnMut(Value) -> Result<bool, JsonFault>,
    ) -> Result<(), JsonFault> {
        self.metered(input, |meter| {
            let context = Ctx::<Run>::new(meter, Vars::new([]));
            for output in self.filter.id.run((context, input.clone())) {
                if let Some(excess) = meter.excess() {
                    return Err(fault(&excess.sentence()));
                }
                let output = output.map_err(|error| describe(text, error.get_err().ok()))?;
                if !take(output)? {
                    break;
                }
            }
            match meter.excess() {
                Some(excess) => Err(fault(&excess.sentence())),
                None => Ok(()),
            }
        })
    }

    /// The value without the places that the expression names.
    pub(super) fn remove(&self, text: &str, value: &Value) -> Result<Value, JsonFault> {
        self.metered(value, |meter| {
            let context = Ctx::<Run>::new(meter, Vars::new([]));
            let nothing = |_| -> jaq_core::ValXs<'_, Val> { Box::new(std::iter::empty()) };
            let mut outputs = self.filter.id.update((context, value.clone()), Box::new(nothing));
            let output = outputs.next();
            if let Some(excess) = meter.excess() {
                return Err(fault(&excess.sentence()));
            }
            let output = output.transpose();
            Ok(output.map_err(|error| describe(text, error.get_err().ok()))?.unwrap_or_else(null))
        })
    }

    /// Runs something with a fresh meter. jaq has a few places that panic on rare values (the length of the least
    /// integer, say). What a stranger's answer can reach must not end a task, so a panic is a fault like any other.
    fn metered<T>(
        &self,
        input: &Value,
        run: impl FnOnce(&Meter<'_>) -> Result<T, JsonFault>,
    ) -> Result<T, JsonFault> {
        catch_unwind(AssertUnwindSafe(|| run(&Meter::new(&self.filter.lut, input))))
            .unwrap_or_else(|_| Err(fault("the jq engine does not cope with this input")))
    }
}

/// Whether a name is a slice of the text, not of the library.
fn is_part(text: &str, name: &str) -> bool {
    text.as_bytes().as_ptr_range().contains(&name.as_ptr())
}

/// Everything that is called, and what that calls in turn.
fn closure(calls: BTreeSet<&str>) -> BTreeSet<&str> {
    let mut called = calls;
    loop {
        let before = called.len();
        let more: Vec<&str> = LIBRARY
            .iter()
            .filter(|entry| called.contains(entry.definition.name))
            .flat_map(|entry| entry.calls.iter().copied())
            .collect();
        called.extend(more);
        if called.len() == before {
            return called;
        }
    }
}

/// The numbers of arguments that filters of a name take.
fn arities(name: &str) -> Vec<usize> {
    let defined = LIBRARY.iter().map(|entry| &entry.definition);
    let defined = defined.filter(|entry| entry.name == name).map(|entry| entry.args.len());
    let native = natives().filter(|entry| entry.0 == name).map(|entry| entry.1.len());
    defined.chain(native).collect::<BTreeSet<_>>().into_iter().collect()
}

/// An error of jaq's, without the values in it.
fn describe(text: &str, error: Option<Error<Val>>) -> JsonFault {
    let Some(error) = error else { return fault("it ends early") };
    let said = match error.into_val() {
        Val::TStr(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        _ => String::new(),
    };
    let last = |by: &str| said.rsplit_once(by).map(|(_, last)| last).unwrap_or_default();
    let is_ours = |word: &str| !word.is_empty() && text.contains(word.trim_matches('"'));
    fault(&if said.starts_with("cannot use ") && is_kind(last(" as ")) {
        format!("a value is no {}", last(" as "))
    } else if said.starts_with("cannot index ") && is_ours(last(" with ")) {
        format!("a value has no part {}", last(" with "))
    } else if said.starts_with("cannot index ") {
        "a value has no part of that name or number".to_owned()
    } else if said.starts_with("cannot calculate ") {
        "it calculates with values of the wrong kinds".to_owned()
    } else if said.starts_with("invalid path expression") {
        "it names no places in its input".to_owned()
    } else if is_ours(&said) {
        format!("it says: {said}")
    } else {
        "it fails with an error of its own".to_owned()
    })
}

/// The kinds that jaq names in its errors.
fn is_kind(word: &str) -> bool {
    matches!(
        word,
        "integer"
            | "number"
            | "string"
            | "array"
            | "iterable (array or object)"
            | "rangeable (array or string)"
    )
}
