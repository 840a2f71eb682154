package snapshot

import (
	"bytes"
	"crypto/sha256"
	"fmt"
)

// AppendSum appends to lines of text, the last of which ends with a newline, one more with the SHA-256 of all before:
// how manifests are stored, this package's and an archive's.
func AppendSum(text []byte) []byte { return append(text, sumLine(text)...) }

// CutSum returns the lines before the last one; false unless that is their SHA-256.
func CutSum(text []byte) (lines []byte, ok bool) {
	at := bytes.LastIndex(bytes.TrimSuffix(text, []byte("\n")), []byte("\n")) + 1
	return text[:at], string(text[at:]) == sumLine(text[:at])
}

func sumLine(text []byte) string { return fmt.Sprintf("sha256 %x\n", sha256.Sum256(text)) }
