package main

import (
	"encoding/binary"
	"errors"
	"io"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"pyrover.test/common"
)

const downloaded = 7 // messages of a stream of responses

var body = make([]byte, 32*1024*1024)

// answers gives the sizes of the messages of a response, by what those of the request ask for.
func answers(kind string, asked []int) []int {
	sizes := asked
	switch kind {
	case "download":
		for len(sizes) < downloaded {
			sizes = append(sizes, asked[0])
		}
	case "upload":
		sum := 0
		for _, size := range asked {
			sum += size
		}
		sizes = []int{sum}
	}
	return sizes
}

func handler(log *os.File, isSecure bool) grpc.StreamHandler {
	return func(_ any, stream grpc.ServerStream) error {
		path, _ := grpc.MethodFromServerStream(stream)
		kind, wanted := method(path)
		received, sent := 0, 0
		var asked []int
		for {
			var message []byte
			err := stream.RecvMsg(&message)
			if errors.Is(err, io.EOF) {
				break
			}
			common.Check(err)
			received += messageHead + len(message)
			asked = append(asked, int(binary.BigEndian.Uint64(message)))
		}
		if wanted == 0 {
			for _, size := range answers(kind, asked) {
				message := body[:size]
				common.Check(stream.SendMsg(&message))
				sent += messageHead + size
			}
		}
		tell(log, path, received, sent, wanted, isSecure)
		return status.Error(codes.Code(wanted), "as told") // nil where that is 0
	}
}

func serve(log string, certificate []string) {
	account := common.OpenLog(log)
	isSecure := len(certificate) > 0
	options := []grpc.ServerOption{
		grpc.UnknownServiceHandler(handler(account, isSecure)),
		grpc.ForceServerCodec(raw{}),
		grpc.MaxRecvMsgSize(unlimited),
	}
	if isSecure {
		secrets, err := credentials.NewServerTLSFromFile(certificate[0], certificate[1])
		common.Check(err)
		options = append(options, grpc.Creds(secrets))
	}
	server := grpc.NewServer(options...)
	listener := common.Listen()
	common.Check(server.Serve(listener))
}
