package main

import (
	"context"

	abcicli "github.com/cometbft/cometbft/abci/client"
	"github.com/cometbft/cometbft/abci/types"
	"github.com/cometbft/cometbft/proxy"
)

// What no pipeline with the plugin json accepts.
var rejected = []byte("byzantine: this is not JSON")

// appClients makes clients of the real app whose proposals may be changed.
type appClients struct {
	proxy.ClientCreator
	asked *asked
}

func (c appClients) NewABCIClient() (abcicli.Client, error) {
	client, err := c.ClientCreator.NewABCIClient()
	return appClient{client, c.asked}, err
}

type appClient struct {
	abcicli.Client
	asked *asked
}

// PrepareProposal puts what the pipeline rejects behind what the app picked.
func (c appClient) PrepareProposal(
	ctx context.Context, request *types.RequestPrepareProposal,
) (*types.ResponsePrepareProposal, error) {
	response, err := c.Client.PrepareProposal(ctx, request)
	if err == nil && c.asked.is(reject) {
		response.Txs = append(response.Txs, rejected)
	}
	return response, err
}

// ProcessProposal accepts everything, so that the node votes for its own proposals.
func (c appClient) ProcessProposal(
	ctx context.Context, request *types.RequestProcessProposal,
) (*types.ResponseProcessProposal, error) {
	if c.asked.is(reject) {
		return &types.ResponseProcessProposal{Status: types.ResponseProcessProposal_ACCEPT}, nil
	}
	return c.Client.ProcessProposal(ctx, request)
}
