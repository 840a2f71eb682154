// Package blocks hands out byte slices of many sizes and takes them back, for state that changes all the time.
//
// # Purpose
//
// A service that keeps values of any length must not allocate for every change. A Pool keeps what is given back,
// sorted by size, and hands it out again: in a steady state nothing is allocated, and nothing is left to the garbage
// collector.
//
// # Thread ownership
//
// A Pool belongs to one thread.
//
// # Failure behaviour
//
// None. Whoever gives a block back must not use it any more.
//
// # Limits
//
// A block is at most half as long again as what was asked for (Smallest bytes at least). What is kept for later is
// bounded by Keep bytes; beyond that a block is left to the garbage collector.
package blocks
