package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"os"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"pyrover.test/common"
)

const atOnce = 100

type work struct {
	Address string            `json:"address"`
	CA      string            `json:"ca"`
	Calls   []json.RawMessage `json:"calls"`
}

// call makes all calls on one connection, a hundred at once.
func call() {
	var given work
	common.Check(json.NewDecoder(os.Stdin).Decode(&given))
	secrets := insecure.NewCredentials()
	if given.CA != "" {
		var err error
		secrets, err = credentials.NewClientTLSFromFile(given.CA, "")
		common.Check(err)
	}
	connection, err := grpc.NewClient(
		"passthrough:///"+given.Address,
		grpc.WithTransportCredentials(secrets),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{}), grpc.MaxCallRecvMsgSize(unlimited)),
	)
	common.Check(err)
	var all sync.WaitGroup
	places := make(chan struct{}, atOnce)
	for _, one := range given.Calls {
		var path string
		var sizes, wanted []int
		common.Check(json.Unmarshal(one, &[]any{&path, &sizes, &wanted}))
		all.Add(1)
		places <- struct{}{}
		go func() {
			defer all.Done()
			exchange(connection, path, sizes, wanted, given.CA != "")
			<-places
		}()
	}
	all.Wait()
	common.Check(connection.Close())
}

func exchange(connection *grpc.ClientConn, path string, sizes, wanted []int, isSecure bool) {
	kind, _ := method(path)
	description := &grpc.StreamDesc{
		ClientStreams: kind == "upload" || kind == "both",
		ServerStreams: kind == "download" || kind == "both",
	}
	stream, err := connection.NewStream(context.Background(), description, path)
	common.Check(err)
	sent, received := 0, 0
	for index, size := range sizes {
		message := bytes.Repeat([]byte("y"), size)
		binary.BigEndian.PutUint64(message, uint64(wanted[index]))
		common.Check(stream.SendMsg(&message))
		sent += messageHead + size
	}
	common.Check(stream.CloseSend())
	for {
		var message []byte
		err = stream.RecvMsg(&message)
		if err != nil {
			break
		}
		received += messageHead + len(message)
		if !description.ServerStreams {
			break
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil // which is how a stream ends well
	}
	tell(os.Stdout, path, sent, received, int(status.Code(err)), isSecure)
}
