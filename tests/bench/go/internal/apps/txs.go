package apps

import (
	crand "crypto/rand"
	"math/rand/v2"
)

// No "=", ":" or anything JSON escapes: the Go key-value store accepts exactly one separator.
const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// Txs makes transactions no two of which are equal, in the shape key=value that the Go key-value store accepts.
type Txs struct {
	random *rand.ChaCha8
}

// NewTxs seeds a generator anew, so that no application has seen its transactions before.
func NewTxs() Txs {
	var seed [32]byte
	if _, err := crand.Read(seed[:]); err != nil {
		panic(err)
	}
	return Txs{random: rand.NewChaCha8(seed)}
}

// Make returns count transactions of size bytes each. They share one allocation.
func (t Txs) Make(count, size int) [][]byte {
	bytes := make([]byte, count*size)
	var word uint64
	for i := range bytes {
		if i%8 == 0 {
			word = t.random.Uint64()
		}
		bytes[i] = alphabet[word%64]
		word >>= 8
	}
	txs := make([][]byte, count)
	for i := range txs {
		tx := bytes[i*size : (i+1)*size : (i+1)*size]
		// "val" would start a validator update; 32 characters of key are 192 random bits.
		tx[0], tx[32] = 'k', '='
		txs[i] = tx
	}
	return txs
}
