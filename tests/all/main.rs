//! Scenarios from outside: the program against a simulated API, looked at through its page.

mod architecture;
mod harness;
mod page;
mod prometheus;
mod reference;
mod scenarios;
mod startup;
