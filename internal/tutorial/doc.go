// Package tutorial holds a test and nothing else: it builds the program of docs/tutorial.md from that page, runs every command
// there, and compares what is printed, and the program with examples/reservations.
package tutorial
