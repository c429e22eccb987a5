//! The help is true: every command shows how it is used, and what it shows is accepted.

use clap::{Command, CommandFactory as _, Parser as _};

use super::Cli;

/// Every command that is not `help`, by the words that lead to it.
fn commands(of: &Command, words: &str, found: &mut Vec<(String, String)>) {
    for command in of.get_subcommands().filter(|command| command.get_name() != "help") {
        let words = format!("{words} {}", command.get_name());
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        found.push((words.clone(), help));
        commands(command, &words, found);
    }
}

/// The command lines of a help's examples, without the variables that stand before them.
fn examples(help: &str) -> Vec<String> {
    let joined = help.replace("\\\n", " ");
    let of_examples = joined.lines().skip_while(|line| *line != "Examples:").skip(1);
    let lines = of_examples.take_while(|line| line.starts_with("  "));
    lines
        .map(|line| {
            let at = line.find("portolan ").expect("an example names the binary");
            line[at..].to_owned()
        })
        .collect()
}

fn all() -> Vec<(String, String)> {
    let mut found = Vec::new();
    commands(&Cli::command(), "portolan", &mut found);
    assert!(found.iter().any(|(words, _)| words == "portolan query graph"));
    found
}

#[test]
fn command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn help_of_every_command_shows_examples_of_it() {
    for (words, help) in all() {
        let examples = examples(&help);
        assert!(!examples.is_empty(), "`{words} --help` shows no example");
        for example in examples {
            assert!(example.starts_with(&words), "`{words} --help` shows `{example}`");
        }
    }
}

#[test]
fn examples_of_the_help_are_accepted() {
    for (words, help) in all() {
        for example in examples(&help) {
            let parsed = Cli::try_parse_from(example.split_whitespace());
            assert!(parsed.is_ok(), "`{words} --help`: {}", parsed.expect_err("it is refused"));
        }
    }
}
