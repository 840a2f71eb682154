//go:build simbug

package simbug

var planted Bug

// Enabled says whether bugs can be planted in this build.
const Enabled = true

// Plant plants a bug in place of the one before.
func Plant(b Bug) { planted = b }

// On says whether a bug is planted.
func On(b Bug) bool { return planted == b }
