//! Reads the error messages and doc comments of a source file.

use std::path::Path;

use syn::parse::ParseStream;
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, ExprCall, ExprLit, Item, ItemMod, Lit, LitStr, Macro, Meta};

/// A message as `#[error("...")]` has it, and what its doc comment says of it; or as `bail!` and `anyhow!` have it.
pub(crate) struct Message {
    pub(crate) text: String,
    /// The first paragraph.
    pub(crate) cause: String,
    /// Every paragraph after it; empty where the message says itself what to do.
    pub(crate) what_to_do: String,
}

/// The messages of a source file, unit tests left out, in its order. A message that only repeats its cause is left out.
pub(crate) fn messages(path: &Path) -> Vec<Message> {
    let file = parse(path);
    let mut messages = Vec::new();
    for item in &file.items {
        match item {
            Item::Enum(item) => {
                messages.extend(item.variants.iter().filter_map(|variant| message(&variant.attrs)));
            }
            Item::Struct(item) => messages.extend(message(&item.attrs)),
            _ => {}
        }
    }
    let mut plain = Plain(Vec::new());
    plain.visit_file(&file);
    messages.extend(plain.0);
    messages
}

/// The messages that have no type: those of `bail!` and `anyhow!`, and those of `usage`, with which a command refuses its flags.
struct Plain(Vec<Message>);

impl Plain {
    fn take(&mut self, format: syn::Result<LitStr>) {
        let message = format.ok().and_then(|format| worded(&format, String::new(), String::new()));
        self.0.extend(message);
    }
}

impl<'ast> Visit<'ast> for Plain {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        let is_test = |attr: &Attribute| matches!(&attr.meta, Meta::List(list) if list.path.is_ident("cfg") && list.tokens.to_string() == "test");
        if !item.attrs.iter().any(is_test) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        if is_named(&call.path, "anyhow") || is_named(&call.path, "bail") {
            self.take(call.parse_body_with(first_text));
        }
    }

    fn visit_expr_call(&mut self, call: &'ast ExprCall) {
        if matches!(&*call.func, Expr::Path(function) if is_named(&function.path, "usage")) {
            match call.args.first() {
                Some(Expr::Macro(format)) => self.take(format.mac.parse_body_with(first_text)),
                Some(Expr::Lit(ExprLit { lit: Lit::Str(text), .. })) => self.take(Ok(text.clone())),
                _ => {}
            }
        }
        visit::visit_expr_call(self, call);
    }
}

fn is_named(path: &syn::Path, name: &str) -> bool {
    path.segments.last().is_some_and(|last| last.ident == name)
}

/// A format string, whatever comes after it: what is put in may be shorthand that is no expression by itself.
fn first_text(input: ParseStream<'_>) -> syn::Result<LitStr> {
    let text = input.parse()?;
    input.step(|cursor| {
        let mut rest = *cursor;
        while let Some((_, next)) = rest.token_tree() {
            rest = next;
        }
        Ok(((), rest))
    })?;
    Ok(text)
}

/// A message that has words of its own.
fn worded(format: &LitStr, cause: String, what_to_do: String) -> Option<Message> {
    let text = readable(&format.value());
    // What is put in stands in ‹ and ›.
    let own = text.split('‹').map(|part| part.split_once('›').map_or(part, |(_, after)| after));
    let has_words =
        own.flat_map(|part| part.split(|char: char| !char.is_alphabetic())).any(|word| word.len() > 1);
    has_words.then_some(Message { text, cause, what_to_do })
}

/// The doc comment at the top of a file.
pub(crate) fn front(path: &Path) -> String {
    doc(&parse(path).attrs, "\n")
}

/// The doc comment of each field of a struct.
pub(crate) fn fields(path: &Path, name: &str) -> Vec<(String, String)> {
    let file = parse(path);
    let item = file.items.iter().find_map(|item| match item {
        Item::Struct(item) if item.ident == name => Some(item),
        _ => None,
    });
    let fields = item.unwrap().fields.iter();
    fields.map(|field| (field.ident.as_ref().unwrap().to_string(), doc(&field.attrs, " "))).collect()
}

fn parse(path: &Path) -> syn::File {
    let text = std::fs::read_to_string(path).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
    syn::parse_file(&text).unwrap_or_else(|err| panic!("{}: {err}", path.display()))
}

fn message(attrs: &[Attribute]) -> Option<Message> {
    let attr = attrs.iter().find(|attr| attr.path().is_ident("error"))?;
    let Meta::List(_) = &attr.meta else { return None };
    let text = attr.parse_args_with(first_text).ok()?;
    let doc = doc(attrs, "\n");
    let (cause, what_to_do) = doc.split_once("\n\n").unwrap_or((&doc, ""));
    let joined = |paragraph: &str| paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
    worded(&text, joined(cause), joined(what_to_do))
}

/// The doc comment among these attributes, its lines joined; links become plain code.
fn doc(attrs: &[Attribute], joint: &str) -> String {
    let line = |attr: &Attribute| {
        let Meta::NameValue(pair) = &attr.meta else { return None };
        let Expr::Lit(value) = &pair.value else { return None };
        let Lit::Str(text) = &value.lit else { return None };
        pair.path.is_ident("doc").then(|| text.value().trim().to_owned())
    };
    let lines: Vec<String> =
        attrs.iter().filter_map(line).filter(|line| joint == "\n" || !line.is_empty()).collect();
    without_links(&lines.join(joint))
}

/// `[`X`](path)` and `[`X`]` become `X` in code.
fn without_links(text: &str) -> String {
    let mut rest = text;
    let mut plain = String::new();
    while let Some((before, after)) = rest.split_once("[`") {
        let Some((name, after)) = after.split_once("`]") else { break };
        plain.push_str(&format!("{before}`{name}`"));
        rest = match after.strip_prefix('(').and_then(|link| link.split_once(')')) {
            Some((_, after)) => after,
            None => after,
        };
    }
    plain + rest
}

/// A format string as people meet it: what is put in shows as `<name>`, and escaped braces are plain ones.
fn readable(format: &str) -> String {
    let mut text = String::new();
    let mut chars = format.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '{' | '}' if chars.peek() == Some(&char) => {
                chars.next();
                text.push(char);
            }
            '{' => {
                let inside: String = chars.by_ref().take_while(|char| *char != '}').collect();
                let name = inside.split(':').next().unwrap_or_default().trim();
                let name = if name.is_empty() || name.chars().all(char::is_numeric) { "…" } else { name };
                text.push_str(&format!("‹{}›", name.replace('_', " ").to_lowercase()));
            }
            other => text.push(other),
        }
    }
    text
}
