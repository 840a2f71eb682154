// Package servicetest has what the tests of services share.
//
// # Purpose
//
// A Rig gives a service records, one after the other, has its timers fire when they are due, and compares what Check
// says with what Apply does. It also holds what every snapshot has to bear: damage, a writer that fails, any bytes.
//
// # Failure behaviour
//
// What does not hold fails the test.
package servicetest
