// Package slab is what services keep things in: places in arrays of fixed length, lists of places, tables from hashes
// to places.
//
// # Purpose
//
// A service owns an array of what it keeps, allocated once. A Pool says which of its places are taken; a List links
// places in order; a Table finds a place by a hash. Places are numbered from 1; 0 is none.
//
//	Table: hash ──> place                 array of the service:  [0 unused] [1] [2] [3] ...
//	                  │                                           ^          ^
//	Pool ── links ────┴── List: head ──> ... ──> tail ────────────┴──────────┘
//
// # Thread ownership
//
// Everything belongs to one thread.
//
// # Failure behaviour
//
// Nothing fails but for want of room, which Take says. What breaks the rules of a call (a place given back twice, a
// table filled beyond its limit) is a mistake of the program and not caught.
//
// # Limits
//
// Those given when things are made. Nothing allocates afterwards. Which place of a pool is given out next depends on
// all that was given back before: it must not show in what a service answers, nor in its snapshot.
package slab
