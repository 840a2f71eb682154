// Command lockstep is the one binary: it makes and runs nodes, shows and measures them, and reads their journals.
package main
