// Package lint holds the shape of the source tree by tests.
//
// # Purpose
//
// Its tests read every file of the module and fail, naming file and line, when a rule of the house is broken:
//
//   - every import between packages of the module is an edge that the table in edges_test.go names; the core of replica
//     imports nothing that does I/O or tells time;
//   - every package says in a doc.go what it is for;
//   - unsafe stands only in files named *_unsafe.go or *_unsafe_test.go;
//   - no file is longer than 800 lines and no function longer than 70;
//   - nothing carries a mark of unfinished work;
//   - no package has a name that says nothing;
//   - everything is formatted by gofmt.
//
// Generated files (the standard comment says so) are free of the rules about length, unsafe and doc.go.
//
// # Limits
//
// It reads text and syntax, not types. What the type checker can find is for go vet and staticcheck.
package lint
