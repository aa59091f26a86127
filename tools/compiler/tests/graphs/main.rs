//! Graphs of one or a few operations. One program for all of them, because each program is compiled and linked anew.

mod elementwise;
mod layouts;
mod loops;
mod products;
mod reading;
mod refusals;
mod rewrites;
mod scatter;
mod shapes;
