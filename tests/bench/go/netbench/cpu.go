package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"dseq/bench/internal/testnet"
)

// The kernel's unit in /proc/PID/stat; 100 on every Linux architecture that Go runs on.
const ticksPerSecond = 100

// cpu is processor time spent by all processes of a kind, in seconds. Where there is no /proc it stays 0.
type cpu struct {
	CometBFT float64 `json:"cometbft"`
	App      float64 `json:"app"`
}

func cpuSeconds(network *testnet.Network) cpu {
	nodes, apps := network.Pids()
	return cpu{spent(nodes), spent(apps)}
}

func (c cpu) minus(before cpu) cpu {
	return cpu{c.CometBFT - before.CometBFT, c.App - before.App}
}

func spent(pids []int) float64 {
	var ticks float64
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		// The name, the second field, may hold spaces: what follows its parenthesis starts at the third field.
		_, rest, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(rest)
		if len(fields) < 13 {
			continue
		}
		for _, field := range fields[11:13] {
			value, _ := strconv.ParseFloat(field, 64)
			ticks += value
		}
	}
	return ticks / ticksPerSecond
}
