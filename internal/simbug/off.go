//go:build !simbug

package simbug

// Enabled says whether bugs can be planted in this build.
const Enabled = false

// Plant does nothing in this build.
func Plant(Bug) {}

// On is constant false in this build: what asks it is compiled away.
func On(Bug) bool { return false }
