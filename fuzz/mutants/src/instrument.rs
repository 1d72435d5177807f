//! Puts all mutants of a file into it at the same time: each waits behind a question whether it
//! is the one that is tried, `crate::mutant(number)`.
//!
//! | kind | what becomes of it |
//! |---|---|
//! | function | `if crate::mutant(1) { return REPLACEMENT; }` before its first statement |
//! | operator | `(if crate::mutant(1) { a - b } else { a + b })` |
//! | match arm | `pattern if !crate::mutant(1) => ...` |
//! | guard | `if (crate::mutant(1) \|\| (!crate::mutant(2) && (guard)))` |
//!
//! All of this is inserted, nothing is taken away, so that changes can lie within each other.
//! `const` before a function becomes a comment, unless the compiler evaluates the function: then
//! nothing can be asked at run time. A field that is left out is no expression. Such mutants are
//! built alone.

use crate::list::{Genre, Mutant, offset};
use proc_macro2::LineColumn;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Expr, ExprBinary, ExprUnary, ReturnType};

/// A file with its mutants in it.
pub struct Instrumented {
    pub text: String,
    /// The lines in which the code of each mutant stands, by its number.
    pub lines: BTreeMap<u32, Range<usize>>,
    /// The lines of each changed expression or match as a whole, and its mutants.
    pub around: Vec<(Range<usize>, Vec<u32>)>,
    /// The mutants that are in it.
    pub placed: BTreeSet<u32>,
}

/// Places in a file where mutants may be.
#[derive(Default)]
struct Sites {
    /// Operators: where the operator stands, and the whole expression.
    operators: Vec<(Range<usize>, Range<usize>)>,
    /// Match arms: the whole, the end of its pattern, and the match that it is in.
    arms: Vec<(Range<usize>, usize, Range<usize>)>,
    guards: Vec<Range<usize>>,
    /// Bodies of functions from their first statement to their last.
    bodies: Vec<Range<usize>>,
    /// The word `const` before functions.
    consts: Vec<Range<usize>>,
}

struct Visitor<'a> {
    text: &'a str,
    /// The names of functions that the compiler evaluates.
    const_functions: &'a BTreeSet<String>,
    sites: Sites,
}

impl Visitor<'_> {
    fn at(&self, place: LineColumn) -> usize {
        offset(self.text, place.line, place.column)
    }

    fn range(&self, node: &impl Spanned) -> Range<usize> {
        let span = node.span();
        self.at(span.start())..self.at(span.end())
    }

    /// The body of a function that runs at run time, with what is in it.
    fn body(&mut self, signature: &syn::Signature, block: &syn::Block) {
        if let Some(word) = &signature.constness {
            if self.const_functions.contains(&signature.ident.to_string()) {
                return;
            }
            let word = self.range(word);
            self.sites.consts.push(word);
        }
        // An early return needs to know its type.
        let is_opaque = matches!(&signature.output, ReturnType::Type(_, of) if matches!(**of, syn::Type::ImplTrait(_)));
        if let (Some(first), Some(last), false) =
            (block.stmts.first(), block.stmts.last(), is_opaque)
        {
            let body = self.range(first).start..self.range(last).end;
            self.sites.bodies.push(body);
        }
        self.visit_block(block);
    }
}

/// Whether it is a chain of conditions with a `let` in it.
fn has_let(expr: &Expr) -> bool {
    match expr {
        Expr::Let(_) => true,
        Expr::Binary(ExprBinary { left, right, .. }) => has_let(left) || has_let(right),
        _ => false,
    }
}

impl<'ast> Visit<'ast> for Visitor<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.body(&item.sig, &item.block);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.body(&item.sig, &item.block);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.body(&item.sig, block);
        }
    }

    // The compiler evaluates these.
    fn visit_item_const(&mut self, _: &'ast syn::ItemConst) {}
    fn visit_item_static(&mut self, _: &'ast syn::ItemStatic) {}
    fn visit_impl_item_const(&mut self, _: &'ast syn::ImplItemConst) {}
    fn visit_trait_item_const(&mut self, _: &'ast syn::TraitItemConst) {}
    fn visit_expr_const(&mut self, _: &'ast syn::ExprConst) {}
    fn visit_type(&mut self, _: &'ast syn::Type) {}
    fn visit_variant(&mut self, _: &'ast syn::Variant) {}
    fn visit_pat(&mut self, _: &'ast syn::Pat) {}
    fn visit_generic_argument(&mut self, _: &'ast syn::GenericArgument) {}
    fn visit_expr_repeat(&mut self, expr: &'ast syn::ExprRepeat) {
        self.visit_expr(&expr.expr);
    }

    fn visit_expr_binary(&mut self, expr: &'ast ExprBinary) {
        if !has_let(&expr.left) && !has_let(&expr.right) {
            let site = (self.range(&expr.op), self.range(expr));
            self.sites.operators.push(site);
        }
        visit::visit_expr_binary(self, expr);
    }

    fn visit_expr_unary(&mut self, expr: &'ast ExprUnary) {
        let site = (self.range(&expr.op), self.range(expr));
        self.sites.operators.push(site);
        visit::visit_expr_unary(self, expr);
    }

    fn visit_expr_match(&mut self, expr: &'ast syn::ExprMatch) {
        let whole = self.range(expr);
        for arm in &expr.arms {
            match &arm.guard {
                Some((_, guard)) if !has_let(guard) => {
                    let guard = self.range(guard);
                    self.sites.guards.push(guard);
                }
                Some(_) => {}
                None => {
                    let pattern_end = self.range(&arm.pat).end;
                    let site = (self.range(arm), pattern_end, whole.clone());
                    self.sites.arms.push(site);
                }
            }
        }
        visit::visit_expr_match(self, expr);
    }
}

/// A piece of text that is inserted.
struct Insertion {
    at: usize,
    /// What ends here stands before what begins here; of the former the inner, of the latter the
    /// outer comes first.
    /// Of a guard and an expression that is all of it, the guard is the outer.
    order: (bool, isize, isize),
    text: String,
    /// The mutant whose code it is.
    mutant: Option<u32>,
}

impl Insertion {
    fn before(range: &Range<usize>, depth: isize, text: String, mutant: Option<u32>) -> Self {
        Self {
            at: range.start,
            order: (true, -(range.len() as isize), depth),
            text,
            mutant,
        }
    }

    fn after(range: &Range<usize>, depth: isize, text: &str) -> Self {
        Self {
            at: range.end,
            order: (false, range.len() as isize, -depth),
            text: text.to_owned(),
            mutant: None,
        }
    }
}

/// Puts the mutants into the text of their file, all that can be there together.
pub fn instrument(
    text: &str,
    mutants: &[&Mutant],
    const_functions: &BTreeSet<String>,
) -> syn::Result<Instrumented> {
    let file = syn::parse_file(text)?;
    let mut visitor = Visitor {
        text,
        const_functions,
        sites: Sites::default(),
    };
    visitor.visit_file(&file);
    let sites = visitor.sites;
    let mut insertions = Vec::new();
    let mut groups: Vec<(Range<usize>, Vec<u32>)> = Vec::new();
    let of = |genres: &[Genre], range: &Range<usize>| {
        let those = mutants
            .iter()
            .filter(|mutant| genres.contains(&mutant.genre) && mutant.range == *range);
        those.copied().collect::<Vec<_>>()
    };
    let mut placed = BTreeSet::new();
    let numbers =
        |those: &[&Mutant]| -> Vec<u32> { those.iter().map(|mutant| mutant.number).collect() };
    for word in &sites.consts {
        insertions.push(Insertion::before(word, 0, "/*".to_owned(), None));
        insertions.push(Insertion::after(word, 0, "*/"));
    }
    for (operator, whole) in &sites.operators {
        let those = of(&[Genre::BinaryOperator, Genre::UnaryOperator], operator);
        if those.is_empty() {
            continue;
        }
        let (left, right) = (
            &text[whole.start..operator.start],
            &text[operator.end..whole.end],
        );
        // `a as u32 < b` would be read as `u32<b`.
        let left = match left {
            "" => String::new(),
            left => format!("({left})"),
        };
        insertions.push(Insertion::before(whole, 2, "(\n".to_owned(), None));
        for mutant in &those {
            let number = mutant.number;
            let code = format!(
                "if crate::mutant({number}) {{ {left} {} {right} }} else\n",
                mutant.replacement
            );
            insertions.push(Insertion::before(whole, 2, code, Some(number)));
        }
        insertions.push(Insertion::before(whole, 2, "{ ".to_owned(), None));
        insertions.push(Insertion::after(whole, 2, "\n})"));
        groups.push((whole.clone(), numbers(&those)));
    }
    for guard in &sites.guards {
        let those = of(&[Genre::MatchArmGuard], guard);
        if those.is_empty() {
            continue;
        }
        let mut code = "(\n".to_owned();
        for mutant in &those {
            let number = mutant.number;
            code += &match mutant.replacement.as_str() {
                "true" => format!("crate::mutant({number}) ||\n"),
                _ => format!("!crate::mutant({number}) &&\n"),
            };
        }
        insertions.push(Insertion::before(guard, 1, code + "(", None));
        insertions.push(Insertion::after(guard, 1, "\n))"));
        groups.push((guard.clone(), numbers(&those)));
    }
    for (arm, pattern_end, whole) in &sites.arms {
        for mutant in of(&[Genre::MatchArm], arm) {
            let number = mutant.number;
            let end = *pattern_end..*pattern_end;
            let code = format!("\nif !crate::mutant({number})\n");
            insertions.push(Insertion::before(&end, 0, code, Some(number)));
            groups.push((whole.clone(), vec![number]));
        }
    }
    for body in &sites.bodies {
        let those = of(&[Genre::FnValue], body);
        if those.is_empty() {
            continue;
        }
        for mutant in &those {
            let number = mutant.number;
            let value = &mutant.replacement;
            let code = format!("\nif crate::mutant({number}) {{ return {value}; }}\n");
            insertions.push(Insertion::before(body, 0, code, Some(number)));
        }
        placed.extend(numbers(&those));
    }
    placed.extend(groups.iter().flat_map(|(_, those)| those));
    // The sort is stable: pieces of one place stay in their order.
    insertions.sort_by_key(|insertion| (insertion.at, insertion.order));
    Ok(assemble(text, insertions, &groups, placed))
}

fn assemble(
    text: &str,
    insertions: Vec<Insertion>,
    groups: &[(Range<usize>, Vec<u32>)],
    placed: BTreeSet<u32>,
) -> Instrumented {
    let mut out = String::new();
    let mut lines = BTreeMap::new();
    let newlines = |text: &str| text.matches('\n').count();
    let line_of = |at: usize| {
        let before = insertions.iter().filter(|insertion| insertion.at <= at);
        let inserted: usize = before.map(|insertion| newlines(&insertion.text)).sum();
        1 + newlines(&text[..at]) + inserted
    };
    let around = groups.iter().map(|(range, numbers)| {
        // What is inserted where it begins is a part of it.
        let first = line_of(range.start.saturating_sub(1));
        (first..line_of(range.end) + 1, numbers.clone())
    });
    let around = around.collect();
    let mut from = 0;
    for insertion in &insertions {
        out += &text[from..insertion.at];
        from = insertion.at;
        let code = insertion.text.trim_end();
        let first = 1 + newlines(&out) + newlines(code) - newlines(code.trim_start());
        let last = 1 + newlines(&out) + newlines(code);
        out += &insertion.text;
        if let Some(number) = insertion.mutant {
            lines.insert(number, first..last + 1);
        }
    }
    out += &text[from..];
    Instrumented {
        text: out,
        lines,
        around,
        placed,
    }
}
