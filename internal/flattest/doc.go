// Package flattest compares what is given to flat.Verify with the schema that its accessors are generated from: for tests.
package flattest
