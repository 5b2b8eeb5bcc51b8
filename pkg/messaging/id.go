package messaging

import (
	"encoding/hex"
	"math/rand/v2"
	"time"
)

// NewID returns a new UUIDv7 (RFC 9562, section 5.7): 48 bits of milliseconds,
// 12 bits of the fraction of a millisecond (method 3 of section 6.2, so that
// IDs made in sequence sort in sequence to about 250 ns), 62 random bits.
//
// The randomness is the runtime's ChaCha8 generator: unpredictable enough to
// be unique, not meant as a secret.
func NewID() string { return newID(time.Now()) }

func newID(now time.Time) string {
	ms := uint64(now.UnixMilli())
	fraction := uint64(now.Nanosecond()%int(time.Millisecond)) << 12 / uint64(time.Millisecond)

	var b [16]byte
	for i := range 6 {
		b[i] = byte(ms >> (40 - 8*i))
	}
	b[6] = 0x70 | byte(fraction>>8)
	b[7] = byte(fraction)
	random := rand.Uint64()
	for i := range 8 {
		b[8+i] = byte(random >> (56 - 8*i))
	}
	b[8] = 0x80 | b[8]&0x3f

	var s [36]byte
	hex.Encode(s[0:8], b[0:4])
	hex.Encode(s[9:13], b[4:6])
	hex.Encode(s[14:18], b[6:8])
	hex.Encode(s[19:23], b[8:10])
	hex.Encode(s[24:36], b[10:16])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return string(s[:])
}
