// Package btree keeps keys in order: a B-tree from byte strings to the places where their owner keeps them.
//
// # Purpose
//
// A service that has thousands of names needs them found, listed from a point on, and the same on every node. A Tree
// holds, for every key, a number by which its owner finds what belongs to it, the key included: keys are not copied.
// Beside each number stand the first eight bytes of its key, so that most comparisons stay within the node.
//
//	node: up to 31 of [ first 8 bytes | number ], and, unless a leaf, one more child than that
//
// # Thread ownership
//
// A Tree and its cursors belong to one thread. A Cursor is good until the tree changes.
//
// # Failure behaviour
//
// The key of a number in the tree must not change: its owner sees to that. Nothing else fails.
//
// # Limits
//
// Nodes lie in one array and are used again: memory is allocated when the tree has more nodes than ever before. Every
// node but the root is at least half full, so a tree of n keys has at most n/15+1 nodes, and looking one up takes a
// logarithmic number of steps, whatever the keys.
package btree
