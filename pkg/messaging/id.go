package messaging

import (
	"encoding/binary"
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
	binary.BigEndian.PutUint64(b[0:], ms<<16|0x7000|fraction)
	binary.BigEndian.PutUint64(b[8:], 0x80<<56|rand.Uint64()>>2)

	var s [36]byte
	hex.Encode(s[4:36], b[:])
	copy(s[0:8], s[4:12])
	copy(s[9:13], s[12:16])
	copy(s[14:18], s[16:20])
	copy(s[19:23], s[20:24])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return string(s[:])
}
