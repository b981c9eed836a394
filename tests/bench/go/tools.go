//go:build tools

// The Go key-value store that the socket benchmark compares with, kept in go.mod so that it is built at the same pin
// as the client.
package bench

import _ "github.com/cometbft/cometbft/abci/cmd/abci-cli"
