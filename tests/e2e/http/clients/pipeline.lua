-- wrk: as many requests at once as the first argument says, from the targets in the file that the second one names.
-- Says of each response what it was, then that all have come; wrk itself only knows durations, and is told to end.
local depth, batches, asked = 0, {}, {}
local batch, answered = 0, 0
local counted = false

function init(arguments)
  depth = tonumber(arguments[1])
  local requests = {}
  for target in io.lines(arguments[2]) do
    asked[#asked + 1] = target
    requests[#requests + 1] = wrk.format("GET", target)
    if #requests == depth then
      batches[#batches + 1] = table.concat(requests)
      requests = {}
    end
  end
end

function request()
  if not counted then
    counted = true
    return batches[1] -- wrk counts how many requests this is, and throws it away
  end
  batch = batch + 1
  return batches[batch]
end

function response(status, headers, body)
  answered = answered + 1
  print("exchange " .. asked[answered] .. " " .. status .. " " .. #body)
  if answered == #asked then
    print("all answered")
    wrk.thread:stop()
  end
end
