package load

import (
	"crypto/rand"
	"fmt"
	"time"

	"dseq/bench/internal/figures"
)

// Latency is the time broadcast_tx_commit takes, in milliseconds.
type Latency struct {
	P50 float64   `json:"p50"`
	All []float64 `json:"all"`
}

// Commits submits count transactions one after the other, to the nodes in turn, and waits for each to be committed.
// Before each it lets the network rest.
func Commits(urls []string, count, txBytes int, rest time.Duration) (Latency, error) {
	var latency Latency
	for i := range count {
		time.Sleep(rest)
		begin := time.Now()
		if err := Commit(urls[i%len(urls)], txBytes); err != nil {
			return latency, err
		}
		latency.All = append(latency.All, float64(time.Since(begin).Microseconds())/1e3)
	}
	latency.P50 = figures.Median(latency.All)
	return latency, nil
}

// Commit submits one transaction of random bytes and waits until it is committed.
func Commit(url string, txBytes int) error {
	if err := loopback(url); err != nil {
		return err
	}
	tx := make([]byte, txBytes)
	if _, err := rand.Read(tx); err != nil {
		return err
	}
	var answer struct {
		CheckTx struct {
			Code int    `json:"code"`
			Log  string `json:"log"`
		} `json:"check_tx"`
		TxResult struct {
			Code int    `json:"code"`
			Log  string `json:"log"`
		} `json:"tx_result"`
	}
	// Without quotes, 0x means bytes in hexadecimal.
	if err := get(fmt.Sprintf("%s/broadcast_tx_commit?tx=0x%x", url, tx), &answer); err != nil {
		return err
	}
	if answer.CheckTx.Code != 0 || answer.TxResult.Code != 0 {
		return fmt.Errorf("%s did not accept a transaction: check code %d (%s), result code %d (%s)", url,
			answer.CheckTx.Code, answer.CheckTx.Log, answer.TxResult.Code, answer.TxResult.Log)
	}
	return nil
}

// Ready says whether a node has decided a block and is connected to all the others.
func Ready(url string, peers int) bool {
	var info struct {
		Peers []struct{} `json:"peers"`
	}
	height, err := newestHeight(url)
	return err == nil && height > 0 && get(url+"/net_info", &info) == nil && len(info.Peers) == peers
}
