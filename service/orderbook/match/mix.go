package match

import "math/bits"

// salts keep what is hashed at different places apart.
var salts = [16]uint64{
	0x9e3779b97f4a7c15, 0xf39cc0605cedc834, 0x1082276bf3a27251, 0xf86c6a11d0c18e95,
	0x2767f0b153d27b7f, 0x0347045b5bf1827f, 0x01886f0928403002, 0xc1d64ba40f335e36,
	0xf06ad7ae9717877e, 0x85839d6effbd7dc6, 0x64d325d1c5371682, 0xcadd0cccfdffbbe1,
	0x626e33b8d04b4331, 0xbbf73c790d94f79d, 0x471c4ab3ed3d82a5, 0xfec507705e4ae6e5,
}

// fold is the product of two words, its halves put together.
func fold(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b)
	return high ^ low
}

// mix adds a word to a hash.
func mix(h, word uint64) uint64 { return fold(h^salts[0], bits.RotateLeft64(word, 17)^salts[1]) ^ word }

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
