package main

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"pyrover.test/common"
)

const piece = 16 * 1024

var body = bytes.Repeat([]byte("x"), 5*1024*1024)

// answer gives what a target asks for; the length is told beforehand unless it is to be chunked.
func answer(path string) (status int, content []byte, tellsLength bool) {
	parts := strings.Split(path, "/")
	value, err := strconv.Atoi(parts[2])
	common.Check(err)
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
		common.Check(err)
		status, content, tellsLength := answer(request.URL.Path)
		if tellsLength {
			response.Header().Set("Content-Length", strconv.Itoa(len(content)))
		}
		response.WriteHeader(status)
		sent := 0
		if request.Method != http.MethodHead && content != nil {
			if !tellsLength {
				// Or a short body would be given a length after all.
				common.Check(http.NewResponseController(response).Flush())
			}
			for sent < len(content) {
				n, err := response.Write(content[sent:min(sent+piece, len(content))])
				common.Check(err)
				sent += n
			}
		}
		common.Tell(log, Said{
			request.Method, request.URL.Path, status, received, int64(sent), request.ProtoMajor, request.TLS != nil,
		})
	}
}

func serve(kind, log string, certificate []string) {
	account := common.OpenLog(log)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(kind == "http" || kind == "https")
	protocols.SetHTTP2(kind == "h2")
	protocols.SetUnencryptedHTTP2(kind == "h2c")
	server := &http.Server{Handler: handler(account), Protocols: protocols}
	listener := common.Listen()
	if len(certificate) > 0 {
		common.Check(server.ServeTLS(listener, certificate[0], certificate[1]))
	} else {
		common.Check(server.Serve(listener))
	}
}
