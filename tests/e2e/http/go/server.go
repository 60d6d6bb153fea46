package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
)

const piece = 16 * 1024

var body = bytes.Repeat([]byte("x"), 5*1024*1024)

// answer gives what a target asks for; the length is told beforehand unless it is to be chunked.
func answer(path string) (status int, content []byte, tellsLength bool) {
	parts := strings.Split(path, "/")
	value, err := strconv.Atoi(parts[2])
	check(err)
	switch parts[1] {
	case "status":
		if value == http.StatusNoContent || value == http.StatusNotModified {
			return value, nil, false
		}
		return value, []byte("as told\n"), true
	case "bytes", "upload":
		return http.StatusOK, body[:value], true
	case "chunked":
		return http.StatusOK, body[:value], false
	}
	return http.StatusNotFound, []byte("no such thing\n"), true
}

func handler(log *os.File) http.HandlerFunc {
	return func(response http.ResponseWriter, request *http.Request) {
		received, err := io.Copy(io.Discard, request.Body)
		check(err)
		status, content, tellsLength := answer(request.URL.Path)
		if tellsLength {
			response.Header().Set("Content-Length", strconv.Itoa(len(content)))
		}
		response.WriteHeader(status)
		sent := 0
		if request.Method != http.MethodHead && content != nil {
			if !tellsLength {
				// Or a short body would be given a length after all.
				check(http.NewResponseController(response).Flush())
			}
			for sent < len(content) {
				n, err := response.Write(content[sent:min(sent+piece, len(content))])
				check(err)
				sent += n
			}
		}
		tell(log, Said{
			request.Method, request.URL.Path, status, received, int64(sent), request.ProtoMajor, request.TLS != nil,
		})
	}
}

func serve(kind, log string, certificate []string) {
	account, err := os.OpenFile(log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	check(err)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(kind == "http" || kind == "https")
	protocols.SetHTTP2(kind == "h2")
	protocols.SetUnencryptedHTTP2(kind == "h2c")
	server := &http.Server{Handler: handler(account), Protocols: protocols}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	go func() {
		<-stop
		os.Exit(0)
	}()
	check(json.NewEncoder(os.Stdout).Encode(map[string]int{"port": listener.Addr().(*net.TCPAddr).Port}))
	if len(certificate) > 0 {
		check(server.ServeTLS(listener, certificate[0], certificate[1]))
	} else {
		check(server.Serve(listener))
	}
}
